"""What the router does while one of its peers is down, and that the books are true afterwards."""

import grpc
import pytest
from google.protobuf import duration_pb2

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2
from headgate.common.v1 import cache_status_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, check_books, router_section
from tests.support.in_process import InProcessSuite
from tests.support.rpc_errors import refused

SECTION = router_section({"m": ["sim-small@tokens=4"]})
RUNS = 5


async def complete(suite: InProcessSuite, runs: int = RUNS) -> None:
    for number in range(runs):
        completion = await suite.router.Complete(ask("m", number, temperature=0), metadata=suite.metadata)
        assert completion.cache_status == cache_status_pb2.CACHE_STATUS_MISS


async def limited_to(suite: InProcessSuite, nanos: int) -> None:
    """A hard budget of the caller's organisation."""
    budget = budget_pb2.Budget(
        budget_id="acme/total",
        organization_id="acme",
        limit_nanos=nanos,
        period=budget_pb2.BUDGET_PERIOD_TOTAL,
    )
    await suite.billing.SetBudget(billing.SetBudgetRequest(budget=budget))


async def test_without_the_cache_every_answer_is_a_miss(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await complete(suite)
        await suite.services["cache"].stop()
        await complete(suite)
        await suite.services["cache"].start()
        await all_settled(suite)
        await check_books(suite, runs=2 * RUNS)


async def test_without_the_rate_limiter_requests_are_admitted(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await complete(suite, 1)
        await suite.services["ratelimit"].stop()
        for number in range(1, RUNS):
            await suite.router.Complete(ask("m", number), metadata=suite.metadata)
        await suite.services["ratelimit"].start()
        await all_settled(suite)
        assert suite.holds() == {"captured": RUNS}
        assert len(await suite.entries()) == RUNS


async def test_without_the_rate_limiter_requests_are_refused_where_the_setting_says_so(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION, HEADGATE_ROUTER_LIMITS_LOST="closed") as suite:
        await complete(suite, 1)
        await suite.services["ratelimit"].stop()
        with refused() as refusal:
            await suite.router.Complete(ask("m", 1), metadata=suite.metadata)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE")
        assert refusal.retry_seconds == 1
        assert suite.holds() == {"captured": 1}
        assert len(suite.served()) == 1


async def test_without_billing_usage_is_kept_and_booked_once_when_it_is_back(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION) as suite:
        await complete(suite)
        await suite.services["billing"].stop()
        for number in range(RUNS, 2 * RUNS):
            completion = await suite.router.Complete(ask("m", number), metadata=suite.metadata)
            assert not completion.finished.HasField("cost")
        assert suite.pipeline._settlements.depth == RUNS
        await suite.services["billing"].start()
        await all_settled(suite)
        entries = await suite.entries()
        assert len(entries) == 2 * RUNS
        assert {entry.record.attempt_id for entry in entries} == set(suite.served())
        assert not {"open", "orphaned"} & set(suite.holds())


@pytest.mark.parametrize("fresh_seconds", ["0", "5"])
async def test_without_billing_an_account_with_a_hard_budget_is_refused(
    start_router: StartRouter, fresh_seconds: str
) -> None:
    async with start_router(SECTION, HEADGATE_ROUTER_KEY_FRESH_SECONDS=fresh_seconds) as suite:
        await limited_to(suite, 10**12)
        await complete(suite, 1)
        await suite.services["billing"].stop()
        with refused() as refusal:
            await suite.router.Complete(ask("m", 1), metadata=suite.metadata)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE")
        assert refusal.retry_seconds == 1
        assert "goes on when billing is back" in refusal.message
        assert "soft budget" in refusal.message
        assert len(suite.served()) == 1
        await suite.services["billing"].start()
        await all_settled(suite)
        assert suite.reservations() == {"settled": 1, "released": 1}
        assert not {"open", "orphaned"} & set(suite.holds())


async def test_a_budget_that_is_spent_refuses_and_gives_back_what_was_reserved(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION) as suite:
        await limited_to(suite, 1)
        with refused() as refusal:
            await suite.router.Complete(ask("m"), metadata=suite.metadata)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
        assert suite.reservations() == {"released": 1}
        assert suite.holds() == {}


async def test_a_refused_request_is_not_answered_from_the_cache_nor_booked(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await complete(suite, 1)
        await all_settled(suite)
        window = limit_pb2.SlidingWindow(maximum=1, window=duration_pb2.Duration(seconds=3600))
        limit = limit_pb2.Limit(limit_id="strict", metric=limit_pb2.METRIC_REQUESTS, sliding_window=window)
        await suite.ratelimit.SetLimit(ratelimit.SetLimitRequest(limit=limit))
        again = ask("m", 0, temperature=0)
        cached = await suite.router.Complete(again, metadata=suite.metadata)
        assert cached.cache_status == cache_status_pb2.CACHE_STATUS_EXACT
        with refused() as refusal:
            await suite.router.Complete(again, metadata=suite.metadata)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert refusal.subjects == ("limit:strict",)
        assert refusal.retry_seconds is not None
        await all_settled(suite)
        assert len(await suite.entries()) == 2
        assert suite.reservations() == {"settled": 2}
