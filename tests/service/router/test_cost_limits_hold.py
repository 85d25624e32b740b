"""Whatever is asked for at once and however it ends: no more is spent than a limit on cost lets, and that is what it counts."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import grpc
import pytest

from headgate.common.v1.caller_pb2 import Caller
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, router_section
from tests.support.in_process import INPUT_NANOS, OUTPUT_NANOS, InProcessSuite
from tests.support.limits import COST, DAY, window

SECTION = router_section(
    {
        "short": ["sim-small@tokens=3"],
        "long": ["sim-small@tokens=25"],
        "second": ["sim-small@status=503", "sim-small@tokens=9"],
        "breaks": ["sim-small@cut-after=5"],
        "again": ["sim-small@cut-after=5", "sim-small@tokens=25"],
        "hangs": ["sim-small@tokens=30,hang-after=6"],
        "rejects": ["sim-small@status=400"],
    }
)
ROUNDS, REQUESTS = 8, 16
Key = tuple[Any, Caller]


def some_limit(random: Random, organization_id: str) -> limit_pb2.Limit:
    """Of a few requests' cost, for the organisation or for each of its keys."""
    maximum = random.randrange(1, 8 * (20 * INPUT_NANOS + 20 * OUTPUT_NANOS))
    per = random.choice([[], [limit_pb2.DIMENSION_KEY]])
    selector = limit_pb2.Selector(organization_id=organization_id)
    limit = window(f"{organization_id}/cost", COST, maximum, selector=selector, per=per)
    if random.random() < 0.5:
        # What it regains meanwhile is less than a nano-USD.
        limit.token_bucket.CopyFrom(
            limit_pb2.TokenBucket(refill_amount=1, refill_interval=DAY, burst=maximum)
        )
    return limit


async def send(suite: InProcessSuite, random: Random, metadata: Any, number: int) -> str:
    """How one request ended; some are the same as others, and some callers go away."""
    model = random.choice(list(SECTION["models"]))
    fields = {"max_output_tokens": random.randrange(6, 40), "temperature": random.choice([0, 1])}
    request = ask(model, random.randrange(3), **fields)
    request.request_id = f"{metadata[0][1][-8:]}-{number}"
    reads = 2 if model == "hangs" else 1000
    call = suite.router.StreamComplete(request, metadata=metadata)
    try:
        for _ in range(reads):
            if await call.read() is grpc.aio.EOF:
                return "answered"
    except grpc.aio.AioRpcError as error:
        return "refused" if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else "failed"
    call.cancel()
    return "left"


async def check(suite: InProcessSuite, limit: limit_pb2.Limit, keys: list[Key]) -> None:
    maximum = limit.token_bucket.burst or limit.sliding_window.maximum
    spent = Counter[str]()
    for entry in await suite.entries(limit.selector.organization_id):
        spent[entry.record.caller.key_id if limit.per else ""] += entry.cost.amount_nanos
    assert all(nanos <= maximum for nanos in spent.values())
    for _, caller in keys:
        peeked = await suite.ratelimit.Peek(ratelimit.PeekRequest(caller=caller))
        (status,) = [status for status in peeked.statuses if status.metric == COST]
        counted, really = status.limit - status.remaining, spent[caller.key_id if limit.per else ""]
        # A token bucket that many take from at once gives back what it can be sure of.
        assert really <= counted if limit.HasField("token_bucket") else really == counted


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_spent_is_at_most_the_limit_and_is_what_it_counts(start_router: StartRouter, seed: int) -> None:
    random, ends = Random(seed), Counter[str]()  # noqa: S311 - the same in every run
    async with start_router(SECTION) as suite:
        for number in range(ROUNDS):
            organization_id = f"org-{number}"
            limit = some_limit(random, organization_id)
            await suite.ratelimit.SetLimit(ratelimit.SetLimitRequest(limit=limit))
            keys = [await suite.new_key(organization_id) for _ in range(2)]
            sent = [send(suite, random, random.choice(keys)[0], each) for each in range(REQUESTS)]
            ends.update(await asyncio.gather(*sent))
            await all_settled(suite)
            await check(suite, limit, keys)
    assert not {"answered", "refused", "failed", "left"} - set(ends)
    assert "open" not in suite.holds()
