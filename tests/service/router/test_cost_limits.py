"""A limit on cost counts what billing holds for a request, then what it was charged; what is admitted never exceeds it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from headgate.common.v1 import cache_status_pb2, outcome_pb2
from headgate.ratelimit.v1 import limit_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, begun, check_books, output_known, router_section
from tests.support.in_process import INPUT_NANOS, OUTPUT_NANOS, InProcessSuite
from tests.support.limits import CLOSED, COST, DAY, declare, spent, used_of, window
from tests.support.redis_server import RedisServer
from tests.support.rpc_errors import Refusal, refused
from tests.support.waiting import until

SECTION = router_section({"m": ["sim-small@tokens=4"]})
LIMIT = "cost"
HELD = 400_000
"""A little more than is held for one of these requests, in nano-USD; a fifth of it is what one costs."""


@contextmanager
def refused_by_limit() -> Iterator[Refusal]:
    with refused() as refusal:
        yield refusal
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert refusal.subjects == (f"limit:{LIMIT}",)


async def complete(suite: InProcessSuite, number: int, **fields: Any) -> int:
    """What it cost."""
    request = ask("m", number, max_output_tokens=4, **fields)
    completion = await suite.router.Complete(request, metadata=suite.metadata)
    return completion.finished.cost.amount_nanos


async def admitted(suite: InProcessSuite, runs: range) -> int:
    """How many of as many at once were not refused."""

    async def one(number: int) -> int:
        try:
            await complete(suite, number)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            return 0
        return 1

    return sum(await asyncio.gather(*map(one, runs)))


@pytest.mark.parametrize("store", ["memory", "redis"])
async def test_paid_requests_stop_at_a_limit_on_cost(
    start_router: StartRouter, redis_server: RedisServer, store: str
) -> None:
    redis_server.flush()
    url = redis_server.url if store == "redis" else store
    patience = {"HEADGATE_RATELIMIT_STORE": url, "HEADGATE_RATELIMIT_STORE_TIMEOUT_SECONDS": "10"}
    async with start_router(SECTION, **patience) as suite:
        cost = await complete(suite, 0)
        await declare(suite, window(LIMIT, COST, 3 * HELD))
        assert await admitted(suite, range(1, 21)) >= 1
        await all_settled(suite)
        while await admitted(suite, range(21, 22)):
            await all_settled(suite)
        await all_settled(suite)
        assert await used_of(suite, LIMIT) == await spent(suite) - cost
        assert 2 * HELD <= await used_of(suite, LIMIT) <= 3 * HELD
        with refused_by_limit() as refusal:
            await complete(suite, 22)
        assert refusal.retry_seconds is not None
        assert len(suite.served()) == len(await suite.entries())


async def test_what_a_refused_request_held_and_reserved_is_free_again(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await declare(suite, window(LIMIT, COST, 1))
        with refused_by_limit():
            await complete(suite, 0)
        assert suite.holds() == {"voided": 1}
        assert suite.reservations() == {"released": 1}
        assert await used_of(suite, "requests") == await used_of(suite, "output") == 0
        with refused_by_limit():
            await complete(suite, 1)
        # It is known by now what such a request costs: billing was not asked.
        assert suite.holds() == {"voided": 1}
        assert suite.reservations() == {"released": 2}
        assert suite.served() == {}


async def test_a_limit_that_was_set_a_moment_ago_counts_the_next_request(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        cost = await complete(suite, 0)
        token_bucket = limit_pb2.TokenBucket(refill_amount=1, refill_interval=DAY, burst=2 * HELD)
        await declare(suite, limit_pb2.Limit(limit_id=LIMIT, metric=COST, token_bucket=token_bucket))
        assert await complete(suite, 1) == cost
        await all_settled(suite)
        assert await used_of(suite, LIMIT) == cost


async def test_an_answer_of_the_cache_costs_nothing_and_needs_no_room(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await complete(suite, 0, temperature=0)
        await all_settled(suite)
        await declare(suite, window(LIMIT, COST, 1))
        again = ask("m", 0, max_output_tokens=4, temperature=0)
        completion = await suite.router.Complete(again, metadata=suite.metadata)
        assert completion.cache_status == cache_status_pb2.CACHE_STATUS_EXACT
        with refused_by_limit():
            await complete(suite, 1, temperature=0)
        await all_settled(suite)
        assert await used_of(suite, LIMIT) == 0


async def test_every_attempt_counts(start_router: StartRouter) -> None:
    section = router_section({"m": ["sim-small@cut-after=3", "sim-small@tokens=4"]})
    async with start_router(section) as suite:
        await declare(suite, window(LIMIT, COST, 10**9))
        events = [event async for event in suite.router.StreamComplete(ask("m"), metadata=suite.metadata)]
        finished = events[-1].finished
        assert [attempt.usage.output_tokens for attempt in finished.attempts] == [3, 4]
        await all_settled(suite)
        assert await used_of(suite, LIMIT) == finished.cost.amount_nanos == await spent(suite)
        # The request's, its cost's, and the second attempt's.
        assert suite.reservations() == {"settled": 3}


async def test_another_attempt_is_not_made_where_a_limit_on_cost_has_no_room_for_it(
    start_router: StartRouter,
) -> None:
    section = router_section({"m": ["sim-small@cut-after=3", "sim-small@tokens=4"]})
    async with start_router(section) as suite:
        request = ask("m", max_output_tokens=100)
        # Room for one attempt of a hundred tokens, and not for two.
        await declare(suite, window(LIMIT, COST, 200 * INPUT_NANOS + 150 * OUTPUT_NANOS))
        with refused_by_limit() as refusal:
            async for _ in suite.router.StreamComplete(request, metadata=suite.metadata):
                pass
        assert "another attempt is not covered" in refusal.message
        await all_settled(suite)
        assert len(suite.served()) == 1
        assert await used_of(suite, LIMIT) == await spent(suite) > 0
        assert suite.reservations() == {"settled": 2}


async def test_a_tier_that_may_cost_more_is_refused_where_a_limit_on_cost_binds(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION) as suite:
        await declare(suite, window(LIMIT, COST, 10**9))
        with refused() as refusal:
            await complete(suite, 0, service_tier="priority")
        assert (refusal.reason, refusal.fields) == ("UNSUPPORTED_BY_TARGET", ("service_tier",))
        assert "limit cost binds this request" in refusal.message
        assert suite.reservations() == {"released": 1}


async def test_a_cancelled_stream_counts_what_was_produced(start_router: StartRouter) -> None:
    section = router_section({"m": ["sim-small@tokens=20,hang-after=7"]})
    async with start_router(section) as suite:
        await declare(suite, window(LIMIT, COST, 10**9))
        call = suite.router.StreamComplete(ask("m"), metadata=suite.metadata)
        await call.read()
        run = await begun(suite, 0)
        await until(lambda: output_known(run, 7), "seven tokens")
        call.cancel()
        await all_settled(suite)
        assert run.outcome == outcome_pb2.OUTCOME_CANCELLED
        assert await used_of(suite, LIMIT) == await spent(suite) > 0


async def test_a_shadow_limit_counts_what_would_have_fitted_and_refuses_nothing(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION) as suite:
        cost = await complete(suite, 0)
        await declare(suite, window(LIMIT, COST, HELD + 2 * cost, shadow=True))
        for number in range(1, 6):
            assert await complete(suite, number) == cost
            await all_settled(suite)
        assert await used_of(suite, LIMIT) == 3 * cost


async def test_while_billing_cannot_say_what_a_request_cost_what_was_reserved_stays_taken(
    start_router: StartRouter,
) -> None:
    section = router_section({"m": ["sim-small@tokens=20,hang-after=7"]})
    async with start_router(section) as suite:
        await declare(suite, window(LIMIT, COST, 10**9))
        call = suite.router.StreamComplete(ask("m", max_output_tokens=100), metadata=suite.metadata)
        await call.read()
        run = await begun(suite, 0)
        await until(lambda: output_known(run, 7), "seven tokens")
        reserved = await used_of(suite, LIMIT)
        await suite.services["billing"].stop()
        call.cancel()
        await until(lambda: not suite.pipeline._runs, "the end of the run")
        await until(lambda: suite.reservations() == Counter(settled=2), "the settlement")
        assert await used_of(suite, LIMIT) == reserved
        await suite.services["billing"].start()
        await all_settled(suite)
        assert await spent(suite) < reserved


@pytest.mark.parametrize("is_closed", [False, True])
async def test_without_billing_a_limit_on_cost_does_as_its_policy_says(
    start_router: StartRouter, is_closed: bool
) -> None:
    async with start_router(SECTION) as suite:
        policy = {"store_loss_policy": CLOSED} if is_closed else {}
        await declare(suite, window(LIMIT, COST, 10**9, **policy))
        await complete(suite, 0)
        await suite.services["billing"].stop()
        if is_closed:
            with refused() as refusal:
                await complete(suite, 1)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE")
            assert "limit cost is closed" in refusal.message
        else:
            await complete(suite, 1)
        assert len(suite.served()) == 2 - is_closed
        await suite.services["billing"].start()
        await all_settled(suite)


async def test_without_a_limit_on_cost_there_is_one_reservation(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await complete(suite, 0)
        await all_settled(suite)
        await check_books(suite, runs=1)
