"""A hard budget and a limit on tokens bind whatever a provider counts: what is held and reserved is at least what can be charged."""

import asyncio
from typing import Any

import grpc
import pytest

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2
from headgate.chat.v1 import message_pb2
from headgate.common.v1 import outcome_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import completion_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, router_section
from tests.support.in_process import INPUT_NANOS, OUTPUT_NANOS, InProcessSuite
from tests.support.rpc_errors import refused

USD = 10**9
HARD = "hard"


async def with_budget(suite: InProcessSuite, nanos: int) -> None:
    budget = budget_pb2.Budget(
        budget_id=HARD, organization_id="acme", limit_nanos=nanos, period=budget_pb2.BUDGET_PERIOD_TOTAL
    )
    await suite.billing.SetBudget(billing.SetBudgetRequest(budget=budget))
    # A key that was not seen before is known with the budget that binds it.
    suite.metadata, suite.caller = await suite.new_key("acme")


async def spent(suite: InProcessSuite) -> int:
    await all_settled(suite)
    return sum(entry.cost.amount_nanos for entry in await suite.entries())


def document(
    number: int, media_type: str = "application/pdf", **fields: Any
) -> completion_pb2.CompletionRequest:
    blob = message_pb2.Blob(media_type=media_type, data=b"%PDF-1.7")
    message = message_pb2.Message(role=message_pb2.ROLE_USER, parts=[message_pb2.Part(blob=blob)])
    fields.setdefault("max_output_tokens", 10)
    return completion_pb2.CompletionRequest(
        model="m", messages=[message], request_id=f"document-{number}", **fields
    )


async def outcomes_of(suite: InProcessSuite, *requests: completion_pb2.CompletionRequest) -> list[Any]:
    asked = (suite.router.Complete(request, metadata=suite.metadata) for request in requests)
    return await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.parametrize("media_type", ["application/pdf", "audio/wav"])
async def test_what_has_no_bound_is_refused_where_a_hard_budget_binds(
    start_router: StartRouter, media_type: str
) -> None:
    section = router_section({"m": ["sim-small@tokens=4,count-input=150000"]})
    async with start_router(section) as suite:
        await with_budget(suite, USD // 20)
        with refused() as refusal:
            await suite.router.Complete(document(0, media_type), metadata=suite.metadata)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_BY_TARGET")
        assert refusal.fields == ("messages[0].parts[0].blob",)
        assert "context_window" in refusal.message
        assert await spent(suite) == 0
        assert suite.holds() == {}


async def test_documents_are_held_for_with_the_whole_window(start_router: StartRouter) -> None:
    model = "sim-small@tokens=4,count-input=150000"
    section = router_section({"m": [model]}, api="anthropic", continuous_usage=False)
    section["targets"]["m-0"]["context_window"] = 200_000
    async with start_router(section) as suite:
        await with_budget(suite, USD)
        answers = await outcomes_of(suite, *(document(number) for number in range(10)))
        codes = [each.code() for each in answers if isinstance(each, grpc.aio.AioRpcError)]
        assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert 0 < await spent(suite) <= USD
        assert suite.holds()["open"] == 0


async def test_images_are_held_for_with_what_the_model_may_count(start_router: StartRouter) -> None:
    section = router_section({"m": ["sim-small@tokens=4,count-input=48000"]})
    async with start_router(section) as suite:
        await with_budget(suite, 4 * 48_200 * INPUT_NANOS)
        answers = await outcomes_of(suite, *(document(number, "image/png") for number in range(20)))
        assert sum(not isinstance(each, BaseException) for each in answers) >= 1
        assert await spent(suite) <= 4 * 48_200 * INPUT_NANOS


@pytest.mark.parametrize("said", ["word " * 2_000, "ж" * 5_000, "𓀀" * 2_500, "1" * 10_000])
async def test_a_text_is_held_for_with_a_token_for_each_byte(start_router: StartRouter, said: str) -> None:
    section = router_section({"m": ["sim-small@tokens=4,count-input=10000"]})
    async with start_router(section) as suite:
        limit = 11_000 * INPUT_NANOS
        await with_budget(suite, limit)
        requests = [
            completion_pb2.CompletionRequest(model="m", prompt=said, max_output_tokens=4, request_id=f"r{n}")
            for n in range(6)
        ]
        await outcomes_of(suite, *requests)
        assert await spent(suite) <= limit


async def test_a_retry_that_the_budget_does_not_cover_is_refused_with_both_reasons(
    start_router: StartRouter,
) -> None:
    section = router_section({"m": ["sim-small@tokens=1000,cut-after=900", "sim-small@tokens=1000"]})
    one = 1000 * OUTPUT_NANOS + 200 * INPUT_NANOS
    async with start_router(section) as suite:
        await with_budget(suite, one + one // 2)
        with refused() as refusal:
            async for _ in suite.router.StreamComplete(
                ask("m", max_output_tokens=1000), metadata=suite.metadata
            ):
                pass
        assert refusal.reason == "BUDGET_EXCEEDED"
        assert "interrupted" in refusal.message
        assert "not covered" in refusal.message
        assert 900 * OUTPUT_NANOS < await spent(suite) <= one + one // 2
        assert suite.holds() == {"captured": 1}


async def test_an_estimate_stays_within_what_was_held(start_router: StartRouter) -> None:
    """Words of more than a token each, and an image that counts less here than it usually does."""
    section = router_section({"m": ["sim-small@tokens=100,no-usage"]})
    section["targets"]["m-0"]["most_tokens_per_image"] = 100
    async with start_router(section) as suite:
        request = document(0, "image/png", max_output_tokens=20)
        limit = (64 + 16 + 100) * INPUT_NANOS + 20 * OUTPUT_NANOS
        await with_budget(suite, limit)
        await suite.router.Complete(request, metadata=suite.metadata)
        assert 20 * OUTPUT_NANOS < await spent(suite) <= limit
        (entry,) = await suite.entries()
        assert entry.record.usage.output_tokens == 20


async def test_a_retry_that_the_budget_covers_is_made(start_router: StartRouter) -> None:
    section = router_section({"m": ["sim-small@tokens=1000,cut-after=900", "sim-small@tokens=1000"]})
    async with start_router(section) as suite:
        await with_budget(suite, USD)
        completion = await suite.router.Complete(ask("m", max_output_tokens=1000), metadata=suite.metadata)
        assert completion.finished.outcome in (outcome_pb2.OUTCOME_COMPLETE, outcome_pb2.OUTCOME_TRUNCATED)
        await all_settled(suite)
        assert suite.holds()["open"] == 0


async def test_a_tier_that_no_price_covers_is_refused_where_a_hard_budget_binds(
    start_router: StartRouter,
) -> None:
    async with start_router(router_section({"m": ["sim-small@tokens=4,tier=priority"]})) as suite:
        await suite.router.Complete(ask("m", service_tier="priority"), metadata=suite.metadata)
        await all_settled(suite)
        (entry,) = await suite.entries()
        assert entry.record.service_tier == "priority"
        await with_budget(suite, USD)
        with refused() as refusal:
            await suite.router.Complete(ask("m", 1, service_tier="priority"), metadata=suite.metadata)
        assert refusal.fields == ("service_tier",)
        await suite.router.Complete(ask("m", 2, service_tier="flex"), metadata=suite.metadata)


async def test_the_ledger_has_the_tier_that_was_billed_and_not_the_one_that_was_asked_for(
    start_router: StartRouter,
) -> None:
    async with start_router(router_section({"m": ["sim-small@tokens=4"]})) as suite:
        await suite.router.Complete(ask("m", service_tier="priority"), metadata=suite.metadata)
        await all_settled(suite)
        (entry,) = await suite.entries()
        assert entry.record.service_tier == ""


@pytest.mark.parametrize("metric", [limit_pb2.METRIC_OUTPUT_TOKENS, limit_pb2.METRIC_TOTAL_TOKENS])
async def test_parallel_requests_without_a_maximum_stay_within_a_limit_on_tokens(
    start_router: StartRouter, metric: limit_pb2.Metric.ValueType
) -> None:
    section = router_section({"m": ["sim-small@tokens=3000"]})
    async with start_router(section, HEADGATE_ROUTER_EXPECTED_OUTPUT_TOKENS="600") as suite:
        window = limit_pb2.SlidingWindow(maximum=5000)
        window.window.FromSeconds(3600)
        limit = limit_pb2.Limit(limit_id="tokens", metric=metric, sliding_window=window)
        await suite.ratelimit.SetLimit(ratelimit.SetLimitRequest(limit=limit))
        answers = await outcomes_of(suite, *(ask("m", number) for number in range(20)))
        await all_settled(suite)
        served = [each for each in answers if isinstance(each, completion_pb2.Completion)]
        assert served
        entries = await suite.entries()
        used = sum(entry.record.usage.output_tokens for entry in entries)
        if metric == limit_pb2.METRIC_TOTAL_TOKENS:
            used += sum(entry.record.usage.input_tokens for entry in entries)
        assert 0 < used <= 5000
        assert {each.finished.outcome for each in served} == {outcome_pb2.OUTCOME_TRUNCATED}
