"""Whether the promise was kept in a run: every way in which it was not, in words."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping

from headgate.billing.v1.usage_pb2 import LedgerEntry
from headgate.common.v1 import cache_status_pb2, outcome_pb2, usage_pb2
from simulator.ledger import Record
from simulator.text import count_tokens
from tests.promise.books import Asked, Books
from tests.promise.judging_limits import broken_limits
from tests.promise.plans import PricePlan

FROM_CHECKPOINT = "headgate/from-checkpoint"
UNNOTED_SECONDS = 1.5
"""Of a stream, between two of a router's checkpoints: one second, and what a busy machine adds."""
_MILLION = 1_000_000
_WHOLE = {outcome_pb2.OUTCOME_COMPLETE, outcome_pb2.OUTCOME_TRUNCATED, outcome_pb2.OUTCOME_FILTERED}
_LEFT = {outcome_pb2.OUTCOME_CANCELLED, outcome_pb2.OUTCOME_DEADLINE_EXCEEDED, outcome_pb2.OUTCOME_ABORTED}
_HIT = cache_status_pb2.CACHE_STATUS_EXACT
_STANDARD_TIERS = {"", "auto", "default", "standard"}


def broken(books: Books) -> list[str]:
    """Empty: the promise was kept."""
    return [
        *_broken_attempts(books),
        *_broken_costs(books),
        *_broken_answers(books),
        *_broken_budgets(books),
        *broken_limits(books),
    ]


# Every token that a provider served is booked exactly once.


def _broken_attempts(books: Books) -> Iterator[str]:
    times = Counter(entry.record.attempt_id for entry in books.entries)
    yield from (f"{attempt} was booked {count} times" for attempt, count in times.items() if count > 1)
    served = {record.request_id: record for record in books.served}
    for record in books.served:
        if record.outcome == "running":
            yield f"{record.request_id} still runs"
        elif record.request_id not in times and not _may_be_lost(books, record):
            yield f"{record.request_id} was served and not booked: {record}"
    for entry in books.entries:
        attempt = entry.record.attempt_id
        if entry.record.cache_status == _HIT:
            continue
        knobs = _knobs_of(books, entry)
        yield from (
            f"{attempt}: {what}: {entry} {served.get(attempt)}"
            for what in _broken_entry(books, entry, served.get(attempt), knobs)
        )


def _knobs_of(books: Books, entry: LedgerEntry) -> Mapping[str, str]:
    (planned,) = [
        asked.plan.behaviours for asked in books.asked if asked.plan.name == entry.record.end_user_id
    ]
    number = int(entry.record.attempt_id.rpartition(".")[2]) - 1
    return dict(planned[number]) if number < len(planned) else {}


def _may_be_lost(books: Books, record: Record) -> bool:
    """What a killed router had not noted: an answer that is not streamed, what came since the last look at a stream, and
    reasoning of which it was neither told nor sent anything.
    """
    is_unseen = record.output_tokens <= record.reasoning_tokens
    return "router" in books.killed and (
        not record.streamed
        or record.ended_at - record.started_at <= UNNOTED_SECONDS
        or (is_unseen and books.plan.target_of(record.model).provider == "plain")
    )


def _broken_entry(
    books: Books, entry: LedgerEntry, served: Record | None, knobs: Mapping[str, str]
) -> Iterator[str]:
    usage, outcome = entry.record.usage, entry.record.outcome
    estimated = usage.source == usage_pb2.USAGE_SOURCE_ESTIMATED
    if served is None:
        if not estimated and usage.total_tokens:
            yield "it is of nothing that was served"
        if usage.output_tokens:
            yield "it has output of nothing that was served"
        return
    if FROM_CHECKPOINT in entry.record.labels:
        if "router" not in books.killed:
            yield "it is from a checkpoint, and no router was killed"
        if _more_than_served(entry, served):
            yield "more output than was served"
        # Of reasoning in secret nothing is told before the end.
        secret = served.reasoning_tokens if knobs.get("hide-reasoning") == "true" else 0
        if served.output_tokens - usage.output_tokens > _unnoted(knobs) + secret:
            yield "a checkpoint is further off than its interval"
    elif outcome in _WHOLE:
        yield from _broken_whole(entry, served, told="no-usage" not in knobs)
    else:
        yield from _broken_part(entry, served, hidden=knobs.get("hide-reasoning") == "true")


def _broken_part(entry: LedgerEntry, served: Record, *, hidden: bool) -> Iterator[str]:
    """Of an attempt that broke off, or that was left: what was counted until then."""
    usage = entry.record.usage
    estimated = usage.source == usage_pb2.USAGE_SOURCE_ESTIMATED
    if not estimated and usage.total_tokens and usage.input_tokens != served.input_tokens:
        yield "other input than was counted"
    if _more_than_served(entry, served):
        yield "more output than was served"
    was_read = served.streamed and entry.record.outcome not in _LEFT and served.outcome != "client_gone"
    if was_read and not hidden and usage.output_tokens != served.written_tokens:
        yield "other output than was sent"


def _more_than_served(entry: LedgerEntry, served: Record) -> bool:
    """Anthropic's API tells a first token before it has begun."""
    return entry.record.usage.output_tokens > max(served.output_tokens, served.api.startswith("anthropic"))


def _unnoted(knobs: Mapping[str, str]) -> float:
    """The most tokens that come between two looks at a stream."""
    gap = knobs.get("gap")
    return math.inf if gap is None else UNNOTED_SECONDS * 1000 / float(gap.removesuffix("ms"))


def _broken_whole(entry: LedgerEntry, served: Record, *, told: bool) -> Iterator[str]:
    usage = entry.record.usage
    if told != (usage.source == usage_pb2.USAGE_SOURCE_PROVIDER):
        yield "it is flagged as an estimate and should not be, or the other way round"
    if not told:
        # A token has up to eight characters, and an answer that is not streamed is estimated by four to a token.
        if usage.output_tokens > 3 * served.output_tokens + 8:
            yield "a far higher estimate than what was served"
        return
    booked = (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens)
    if booked != (served.input_tokens, served.output_tokens, served.cached_tokens):
        yield "other counts than the provider's"
    if served.tier and entry.record.service_tier != ("" if served.tier in _STANDARD_TIERS else served.tier):
        yield "another tier than the provider's"


# It costs what the prices say.


def _broken_costs(books: Books) -> Iterator[str]:
    for entry in books.entries:
        target = books.plan.target_of(entry.record.model)
        hit = entry.record.cache_status == _HIT
        cost = 0 if hit or target.price is None else cost_of(target.price, entry.record.usage)
        if entry.cost.amount_nanos != cost:
            yield f"{entry.record.attempt_id} cost {entry.cost.amount_nanos}, and {cost} by {target.price}"


def cost_of(price: PricePlan, usage: usage_pb2.TokenUsage) -> int:
    tier = [each for each in price.tiers if usage.input_tokens >= each.min_input_tokens][-1]
    read, written = usage.cache_read_input_tokens, usage.cache_write_input_tokens
    millionths = (
        (usage.input_tokens - read - written) * tier.input
        + read * (tier.input if tier.cache_read is None else tier.cache_read)
        + written * (tier.input if tier.cache_write is None else tier.cache_write)
        + usage.output_tokens * tier.output
    )
    whole, rest = divmod(millionths, _MILLION)
    return whole + (rest * 2 > _MILLION or (rest * 2 == _MILLION and whole % 2 == 1)) + price.request_nanos


# What callers were told is what was booked, and what they got was booked.


def _broken_answers(books: Books) -> Iterator[str]:
    for asked in books.asked:
        entries = books.entries_of(asked.plan)
        if asked.finished is not None:
            yield from _broken_finish(asked, entries)
        if "router" not in books.killed:
            delivered = sum(map(count_tokens, asked.text.values()))
            if delivered > sum(entry.record.usage.output_tokens for entry in entries):
                yield f"{asked.plan.name} was sent {delivered} tokens, and fewer were booked"


def _broken_finish(asked: Asked, entries: list[LedgerEntry]) -> Iterator[str]:
    told = asked.finished
    assert told is not None
    if told.usage.total_tokens != sum(entry.record.usage.total_tokens for entry in entries):
        yield f"{asked.plan.name} was told {told.usage}, and {entries} was booked"
    if told.HasField("cost") and told.cost.amount_nanos != sum(entry.cost.amount_nanos for entry in entries):
        yield f"{asked.plan.name} was told {told.cost}, and {entries} was booked"


# Spent never exceeds a hard budget, and nothing stays held.


def _broken_budgets(books: Books) -> Iterator[str]:
    if books.holds:
        yield f"{books.holds} holds are left"
    for budget in books.budgets:
        spent = sum(
            entry.cost.amount_nanos
            for entry in books.entries
            if budget.user_id in ("", entry.record.caller.user_id)
            and budget.key_id in ("", entry.record.caller.key_id)
        )
        if budget.held_nanos:
            yield f"budget {budget.budget_id} has {budget.held_nanos} held"
        if budget.spent_nanos != spent:
            yield f"budget {budget.budget_id} shows {budget.spent_nanos} spent of {spent} booked"
        if not budget.soft and spent > budget.limit_nanos:
            yield f"budget {budget.budget_id} of {budget.limit_nanos} has {spent} spent"
    hard = [budget for budget in books.budgets if not budget.soft]
    for asked in books.asked:
        caller = books.callers[asked.plan.caller]
        binding = [
            each
            for each in hard
            if each.user_id in ("", caller.user_id) and each.key_id in ("", caller.key_id)
        ]
        if asked.reason == "BUDGET_EXCEEDED" and not binding:
            yield f"{asked.plan.name} was refused for a budget, and none binds it"
