"""Many requests that end in one way, and the books afterwards: what was settled, held and billed against what was served."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from headgate.billing.v1 import usage_pb2 as billing_usage
from headgate.common.v1 import usage_pb2
from headgate.router.v1 import completion_pb2
from services.router.run import Run
from tests.support.in_process import INPUT_NANOS, OUTPUT_NANOS, InProcessSuite
from tests.support.waiting import POLL_SECONDS, until

RUNS = 200
AT_ONCE = 50
_STILL_SECONDS = 0.1


def router_section(models: Mapping[str, Sequence[str]], **provider: Any) -> dict[str, Any]:
    """A `router:` section with one target for each of the simulator's models that a name is served by."""
    declared = {"api": "openai", "base_url": "simulator:/v1", "continuous_usage": True, **provider}
    targets = {
        f"{name}-{index}": {"provider": "sim", "model": model}
        for name, served_by in models.items()
        for index, model in enumerate(served_by)
    }
    return {
        "providers": {"sim": declared},
        "targets": targets,
        "models": {
            name: {"targets": [f"{name}-{index}" for index in range(len(served_by))]}
            for name, served_by in models.items()
        },
    }


def ask(model: str, number: int = 0, **fields: Any) -> completion_pb2.CompletionRequest:
    prompt = f"Tell me about number {number}, please."
    return completion_pb2.CompletionRequest(model=model, prompt=prompt, request_id=f"run-{number}", **fields)


async def many(one: Callable[[int], Awaitable[Any]], runs: int = RUNS) -> list[Any]:
    """What `one` returned for each number, at most AT_ONCE at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def guarded(number: int) -> Any:
        async with gate:
            return await one(number)

    return await asyncio.gather(*(guarded(number) for number in range(runs)))


async def begun(suite: InProcessSuite, number: int) -> Run:
    """The run that serves `ask(…, number)`, once it asks a target."""

    def find() -> Run | None:
        wanted = f"run-{number}"
        asking = (run for run in suite.pipeline._runs if run.legs)
        return next((run for run in asking if run.request.request_id == wanted), None)

    await until(find, f"run {number}")
    run = find()
    assert run is not None
    return run


def output_known(run: Run, tokens: int) -> bool:
    """Whether the provider's count of `tokens` output tokens has reached the router."""
    reported = run.legs[-1].reported
    return reported is not None and reported.output_tokens == tokens


async def blocked(run: Run) -> None:
    """Returns once the handler is in a write that does not end."""
    waited, last = 0, -1

    def stands_still() -> bool:
        nonlocal waited, last
        is_writing = run._news is not None and run._news.done()
        waited, last = (waited + 1 if is_writing and run._delivered == last else 0), run._delivered
        return waited * POLL_SECONDS > _STILL_SECONDS

    await until(stands_still, "a blocked write")


async def all_settled(suite: InProcessSuite) -> None:
    """Every run has ended and told its peers; what billing could not be told yet has been delivered."""
    await until(lambda: not suite.pipeline._runs, "the end of every run")
    await until(lambda: suite.pipeline._settlements.depth == 0, "the delivery of all usage")
    await until(lambda: suite.pipeline._limits.depth == 0, "the settlement of all reservations")


async def check_books(
    suite: InProcessSuite, *, runs: int, attempts: int | None = None, voided: int = 0, again: int = 0
) -> list[billing_usage.LedgerEntry]:
    """The ledger's entries, after the books were found true: for `runs` requests of which `voided` used nothing, and `again`
    of which were reserved for once more, before another attempt.

    One settled reservation and one resolved hold per request, one entry per attempt, and in each the tokens that the
    simulator served; an input that could only be estimated is flagged so.
    """
    entries = await suite.entries()
    attempts = runs - voided if attempts is None else attempts
    assert len({entry.record.attempt_id for entry in entries}) == len(entries) == attempts
    settled = {"settled": runs - voided + again, "released": voided}
    assert suite.reservations() == Counter({state: count for state, count in settled.items() if count})
    held = {"captured": runs - voided, "voided": voided}
    assert suite.holds() == Counter({state: count for state, count in held.items() if count})
    served = suite.served()
    assert len(served) == attempts
    for entry in entries:
        _check_entry(entry, served[entry.record.attempt_id])
    assert await suite.used() == {
        "requests": runs - voided,
        "input": sum(entry.record.usage.input_tokens for entry in entries),
        "output": sum(entry.record.usage.output_tokens for entry in entries),
    }
    return entries


def _check_entry(entry: billing_usage.LedgerEntry, served: Any) -> None:
    usage = entry.record.usage
    assert usage.output_tokens == served.output_tokens
    if usage.source == usage_pb2.USAGE_SOURCE_PROVIDER:
        assert usage.input_tokens == served.input_tokens
    else:
        assert usage.source == usage_pb2.USAGE_SOURCE_ESTIMATED
    cost_nanos = INPUT_NANOS * usage.input_tokens + OUTPUT_NANOS * usage.output_tokens
    assert entry.cost.amount_nanos == cost_nanos
    assert not entry.cost.unpriced


def sources(entries: Sequence[billing_usage.LedgerEntry]) -> set[int]:
    return {entry.record.usage.source for entry in entries}


def outcomes(entries: Sequence[billing_usage.LedgerEntry]) -> set[int]:
    return {entry.record.outcome for entry in entries}
