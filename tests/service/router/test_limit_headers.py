"""`x-ratelimit-*` tells what is left when the answer is there, and what was left when there is none."""

from typing import Any

import grpc
import pytest

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, begun, router_section
from tests.support.in_process import InProcessSuite
from tests.support.limits import COST, INPUT, OUTPUT, REQUESTS, TOKENS, declare, used_of, window
from tests.support.rpc_errors import refused

SECTION = router_section(
    {"m": ["sim-small@tokens=4"], "cut": ["sim-small@cut-after=3"], "hangs": ["sim-small@hang-after=3"]}
)
LIMITS = (window("few", REQUESTS, 100), window("tokens", TOKENS, 60_000))


def left(trailers: Any) -> dict[str, str]:
    prefix = "x-ratelimit-"
    return {key.removeprefix(prefix): value for key, value in trailers if key.startswith(prefix)}


async def told(suite: InProcessSuite, number: int = 0, **fields: Any) -> dict[str, str]:
    """With a whole answer, and without one."""
    call = suite.router.Complete(ask("m", number, **fields), metadata=suite.metadata)
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return left(error.trailing_metadata())
    return left(await call.trailing_metadata())


async def test_after_an_answer_what_was_reserved_and_not_used_is_left_again(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION) as suite:
        await declare(suite, *LIMITS)
        for number in range(1, 4):
            headers = await told(suite, number, max_output_tokens=10_000)
            await all_settled(suite)
            used = await used_of(suite, "tokens")
            assert 4 * number < used < 100 * number
            assert int(headers["remaining-tokens"]) == 60_000 - used
            assert headers["limit-tokens"] == "60000"
            assert (headers["remaining-requests"], headers["limit-requests"]) == (str(100 - number), "100")
            assert float(headers["reset-tokens"].removesuffix("s")) > 86_000


async def test_the_limit_that_is_tightest_after_the_answer_is_the_one_that_is_told(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION) as suite:
        # While 19,000 are reserved, the one on output is the tighter.
        await declare(suite, window("out", OUTPUT, 20_000), window("in", INPUT, 5_000))
        headers = await told(suite, max_output_tokens=19_000)
        assert headers["limit-tokens"] == "5000"
        assert 4_900 < int(headers["remaining-tokens"]) < 5_000


async def test_an_answer_of_the_cache_leaves_all_tokens(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await told(suite, temperature=0)
        await all_settled(suite)
        await declare(suite, *LIMITS)
        headers = await told(suite, temperature=0)
        assert (headers["remaining-tokens"], headers["reset-tokens"]) == ("60000", "0.000s")
        assert headers["remaining-requests"] == "99"


async def test_a_stream_that_breaks_off_tells_what_it_used(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await declare(suite, *LIMITS)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            async for _ in suite.router.StreamComplete(ask("cut"), metadata=suite.metadata):
                pass
        await all_settled(suite)
        headers = left(failed.value.trailing_metadata())
        assert int(headers["remaining-tokens"]) == 60_000 - await used_of(suite, "tokens") < 60_000
        assert headers["remaining-requests"] == "99"


async def test_a_refusal_tells_the_limit_that_refused(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await declare(suite, window("tokens", TOKENS, 500))
        headers = await told(suite, max_output_tokens=600)
        assert headers == {"limit-tokens": "500", "remaining-tokens": "500", "reset-tokens": "0.000s"}
        await declare(suite, window("few", REQUESTS, 1))
        await told(suite, max_output_tokens=4)
        headers = await told(suite, max_output_tokens=4)
        assert (headers["limit-requests"], headers["remaining-requests"]) == ("1", "0")
        assert float(headers["reset-requests"].removesuffix("s")) > 86_000


async def test_a_refusal_by_a_limit_on_cost_or_by_a_budget_tells_that_nothing_was_taken(
    start_router: StartRouter,
) -> None:
    nothing_taken = {"remaining-requests": "100", "remaining-tokens": "60000"}
    async with start_router(SECTION) as suite:
        await declare(suite, *LIMITS, window("cost", COST, 1))
        headers = await told(suite)
        assert nothing_taken.items() <= headers.items()
        suite.metadata, suite.caller = await suite.new_key("poor")
        budget = budget_pb2.Budget(
            budget_id="poor/total",
            organization_id="poor",
            limit_nanos=1,
            period=budget_pb2.BUDGET_PERIOD_TOTAL,
        )
        await suite.billing.SetBudget(billing.SetBudgetRequest(budget=budget))
        headers = await told(suite)
        assert nothing_taken.items() <= headers.items()


async def test_a_stream_that_is_ended_for_its_key_tells_what_it_used(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await declare(suite, *LIMITS)
        call = suite.router.StreamComplete(ask("hangs"), metadata=suite.metadata)
        await call.read()
        run = await begun(suite, 0)
        suite.pipeline.end_key(run.principal.caller.key_id)
        with refused():
            while await call.read() is not grpc.aio.EOF:
                pass
        headers = left(await call.trailing_metadata())
        await all_settled(suite)
        assert int(headers["remaining-tokens"]) == 60_000 - await used_of(suite, "tokens")
