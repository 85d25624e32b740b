"""What runs came to, in one line for each kind."""

from collections import Counter
from collections.abc import Iterator

from headgate.common.v1 import cache_status_pb2, outcome_pb2, usage_pb2
from tests.promise.books import Asked, Books
from tests.promise.judging import FROM_CHECKPOINT

_LIMITED, _BUDGETED = "RATE_LIMITED", "BUDGET_EXCEEDED"


class Figures:
    def __init__(self) -> None:
        self.count = Counter[str]()
        self.killed = Counter[str]()

    def add(self, books: Books) -> None:
        count = self.count
        count["runs"] += 1
        count["limits"] += len(books.plan.limits)
        count["budgets"] += len(books.plan.budgets)
        count["attempts"] += len(books.served)
        served = {each.request_id: each.input_tokens + each.output_tokens for each in books.served}
        count["served"] += sum(served.values())
        for asked in books.asked:
            self._add_asked(asked, len(books.entries_of(asked.plan)))
        for entry in books.entries:
            if entry.record.cache_status == cache_status_pb2.CACHE_STATUS_EXACT:
                count["hits"] += 1
                continue
            usage = entry.record.usage
            count["booked"] += usage.total_tokens
            if usage.source == usage_pb2.USAGE_SOURCE_ESTIMATED:
                count["estimated"] += usage.total_tokens
            elif usage.total_tokens == served[entry.record.attempt_id]:
                count["counted"] += usage.total_tokens
            else:
                count["counted until it ended"] += usage.total_tokens
            count["nanos"] += entry.cost.amount_nanos
            count["notes"] += FROM_CHECKPOINT in entry.record.labels
            count["broken off"] += entry.record.outcome == outcome_pb2.OUTCOME_FAILED

    def _add_asked(self, asked: Asked, entries: int) -> None:
        count = self.count
        count["requests"] += 1
        count["streamed"] += asked.plan.streamed
        count["answered"] += asked.finished is not None
        count["failed over"] += entries > 1
        if asked.reason in (_LIMITED, _BUDGETED):
            count[asked.reason] += 1
        elif asked.code in ("CANCELLED", "DEADLINE_EXCEEDED"):
            count[asked.code] += 1
        elif asked.code:
            count["refused or failed otherwise"] += 1

    def lines(self) -> Iterator[str]:
        count = self.count
        yield f"runs {count['runs']}: {count['limits']} limits, {count['budgets']} budgets"
        yield (
            f"requests {count['requests']}: {count['streamed']} streamed, {count['answered']} answered whole, "
            f"{count['hits']} by the cache, {count['failed over']} failed over"
        )
        yield (
            f"refused by a limit {count[_LIMITED]}, by a budget {count[_BUDGETED]}; "
            f"refused or failed otherwise {count['refused or failed otherwise']}"
        )
        yield f"cancelled {count['CANCELLED']}, ended by their deadline {count['DEADLINE_EXCEEDED']}"
        yield f"attempts {count['attempts']}, of which {count['broken off']} failed"
        yield (
            f"tokens served {count['served']}; booked {count['booked']}: {count['counted']} as served, "
            f"{count['counted until it ended']} as counted until the attempt broke off or was left, "
            f"{count['estimated']} as an estimate; for {count['nanos'] / 1e9:.2f} USD"
        )
        if self.killed:
            kills = ", ".join(f"{name} {times}" for name, times in sorted(self.killed.items()))
            yield f"rounds in which a service was killed: {kills}; entries from checkpoints {count['notes']}"
