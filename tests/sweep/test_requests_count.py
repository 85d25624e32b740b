"""Fields of requests that no other test sets: each changes what is answered, or is refused with the reason."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from headgate.billing.v1 import (
    account_service_pb2,
    billing_service_pb2,
    budget_pb2,
    price_pb2,
)
from headgate.cache.v1 import cache_service_pb2
from headgate.chat.v1 import message_pb2, tool_pb2
from headgate.common.v1 import cache_status_pb2, source_pb2
from headgate.ratelimit.v1 import limit_pb2, ratelimit_service_pb2
from headgate.router.v1 import completion_pb2, job_service_pb2, job_service_pb2_grpc, router_service_pb2
from tests.service.router.conftest import StartRouter
from tests.support.in_process import InProcessSuite
from tests.support.rpc_errors import Refusal, read_refusal
from tests.sweep.sections import section

LONG_AGO = timestamp_pb2.Timestamp(seconds=1)
MISS, EXACT = cache_status_pb2.CACHE_STATUS_MISS, cache_status_pb2.CACHE_STATUS_EXACT


async def refused(call: Any) -> str:
    """The reason of the refusal, of a call or a stream."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call.read() if isinstance(call, grpc.aio.UnaryStreamCall) else call)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    refusal = Refusal()
    read_refusal(caught.value, refusal)
    return refusal.reason


async def test_what_is_for_a_later_version_says_so(start_router: StartRouter) -> None:
    async with start_router(section()) as suite:
        jobs = job_service_pb2_grpc.JobServiceStub(suite.channel("router"))
        key = suite.metadata
        semantic = completion_pb2.CompletionRequest(model="m", prompt="hi")
        semantic.cache.semantic = True
        job = job_service_pb2.SubmitJobRequest(
            request=completion_pb2.CompletionRequest(model="m", prompt="hi")
        )
        query = cache_service_pb2.LookupRequest(
            caller=suite.caller, model="m", content=b"x", scope=cache_service_pb2.CACHE_SCOPE_USER
        )
        query.semantic.text = "hi"
        query.semantic.min_similarity = 0.9
        calls = [
            suite.router.Complete(semantic, metadata=key),
            suite.router.Embed(
                router_service_pb2.EmbedRequest(model="m", texts=["hi"], dimensions=8), metadata=key
            ),
            suite.router.ResumeCompletion(
                router_service_pb2.ResumeCompletionRequest(completion_id="c", after_sequence=1), metadata=key
            ),
            jobs.SubmitJob(job, metadata=key),
            jobs.GetJob(job_service_pb2.GetJobRequest(job_id="j"), metadata=key),
            jobs.ListJobs(job_service_pb2.ListJobsRequest(page_size=1), metadata=key),
            jobs.CancelJob(job_service_pb2.CancelJobRequest(job_id="j"), metadata=key),
            jobs.WatchJob(job_service_pb2.WatchJobRequest(job_id="j"), metadata=key),
            suite.billing.ExportUsage(
                billing_service_pb2.ExportUsageRequest(format=billing_service_pb2.EXPORT_FORMAT_CSV)
            ),
            suite.billing.WatchAlerts(billing_service_pb2.WatchAlertsRequest(organization_id="acme")),
            suite.cache.Lookup(query),
            suite.cache.AcquireFill(
                cache_service_pb2.AcquireFillRequest(key=b"k" * 32, ttl=duration_pb2.Duration(seconds=1))
            ),
            suite.cache.ReleaseFill(cache_service_pb2.ReleaseFillRequest(key=b"k" * 32, fill_token="t")),
        ]
        assert [await refused(call) for call in calls] == ["NOT_IMPLEMENTED"] * len(calls)


async def ask(suite: InProcessSuite, **cache: Any) -> int:
    request = completion_pb2.CompletionRequest(
        model="m", prompt="hi", cache=completion_pb2.CacheOptions(mode=completion_pb2.CACHE_MODE_ON, **cache)
    )
    return (await suite.router.Complete(request, metadata=suite.metadata)).cache_status


async def test_an_answer_is_kept_and_served_as_long_as_the_request_says(start_router: StartRouter) -> None:
    second, hour = duration_pb2.Duration(seconds=1), duration_pb2.Duration(seconds=3600)
    async with start_router(section()) as suite:

        async def is_answered(status: int, **cache: Any) -> bool:
            return await ask(suite, **cache) == status

        assert await ask(suite, ttl=second) == MISS
        await eventually(lambda: is_answered(EXACT, ttl=second))
        await eventually(lambda: is_answered(MISS, ttl=hour))
        await eventually(lambda: is_answered(EXACT))
        assert await ask(suite, max_age=duration_pb2.Duration()) == MISS
        assert await ask(suite) == EXACT


async def eventually(so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await so():  # noqa: ASYNC110 - what is asked lives in another process, as it were
            await asyncio.sleep(0.02)


async def test_each_part_of_a_prompt_is_counted(start_router: StartRouter) -> None:
    word = "word " * 40
    turn = message_pb2.Message(role=message_pb2.ROLE_USER, parts=[message_pb2.Part(text=word)])
    plain = message_pb2.Message(role=message_pb2.ROLE_USER, parts=[message_pb2.Part(text="hi")])
    requests = [
        router_service_pb2.CountTokensRequest(model="m", prompt=word),
        router_service_pb2.CountTokensRequest(model="m", messages=[plain, turn]),
        router_service_pb2.CountTokensRequest(
            model="m", prompt="hi", tools=[tool_pb2.Tool(name="f", description=word)]
        ),
    ]
    async with start_router(section()) as suite:
        least = router_service_pb2.CountTokensRequest(model="m", prompt="hi")
        few = await suite.router.CountTokens(least, metadata=suite.metadata)
        for request in requests:
            many = await suite.router.CountTokens(request, metadata=suite.metadata)
            assert many.input_tokens >= few.input_tokens + 40
        least.model = "other"
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await suite.router.CountTokens(least, metadata=suite.metadata)
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_model_is_told_by_its_name(start_router: StartRouter) -> None:
    async with start_router(section()) as suite:
        named = router_service_pb2.GetModelRequest(model_id="m")
        assert (await suite.router.GetModel(named, metadata=suite.metadata)).model.model_id == "m"
        named.model_id = "other"
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await suite.router.GetModel(named, metadata=suite.metadata)
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND


async def test_labels_of_a_hold_change_nothing_as_the_contract_says(start_router: StartRouter) -> None:
    async with start_router(section()) as suite:
        request = billing_service_pb2.AuthorizeRequest(
            hold_id="h",
            caller=suite.caller,
            candidates=[billing_service_pb2.Candidate(provider="sim", model="sim-small@tokens=2")],
            input_tokens=5,
            max_output_tokens=5,
            labels={"team": "x"},
        )
        labelled = await suite.billing.Authorize(request)
        request.hold_id = "i"
        request.labels.clear()
        plain = await suite.billing.Authorize(request)
    assert labelled.amount_nanos == plain.amount_nanos > 0


async def test_percents_of_a_budget_are_kept_and_their_alerts_say_that_they_are_for_later(
    start_router: StartRouter,
) -> None:
    async with start_router(section()) as suite:
        budget = budget_pb2.Budget(
            budget_id="b",
            organization_id="acme",
            limit_nanos=1,
            period=budget_pb2.BUDGET_PERIOD_TOTAL,
            alert_percents=[50, 80],
        )
        kept = await suite.billing.SetBudget(billing_service_pb2.SetBudgetRequest(budget=budget))
        assert list(kept.budget.alert_percents) == [50, 80]
        watched = suite.billing.WatchAlerts(billing_service_pb2.WatchAlertsRequest(organization_id="acme"))
        assert await refused(watched) == "NOT_IMPLEMENTED"


async def test_what_is_output_only_is_not_taken_from_a_request(start_router: StartRouter) -> None:
    async with start_router(section()) as suite:
        account = account_service_pb2.Account(organization_id="new", create_time=LONG_AGO)
        made = await suite.accounts.CreateAccount(account_service_pb2.CreateAccountRequest(account=account))
        assert made.account.create_time != LONG_AGO
        key = account_service_pb2.Key(
            key_id="mine", organization_id="new", create_time=LONG_AGO, revoke_time=LONG_AGO
        )
        got = (await suite.accounts.CreateKey(account_service_pb2.CreateKeyRequest(key=key))).key
        assert got.key_id != "mine"
        assert got.create_time != LONG_AGO
        assert not got.HasField("revoke_time")
        budget = await _budget(suite.billing)
        assert (budget.spent_nanos, budget.held_nanos, budget.reset_time.seconds) == (0, 0, 0)
        assert budget.source == source_pb2.RESOURCE_SOURCE_API
        tiers = [price_pb2.PriceTier(input_nanos_per_million=1, output_nanos_per_million=1)]
        price = price_pb2.Price(
            price_id="mine", provider="p", model="q", tiers=tiers, source=source_pb2.RESOURCE_SOURCE_FILE
        )
        priced = (await suite.billing.SetPrice(billing_service_pb2.SetPriceRequest(price=price))).price
        assert priced.price_id not in ("", "mine")
        assert priced.source == budget.source
        limit = limit_pb2.Limit(
            limit_id="l",
            metric=limit_pb2.METRIC_REQUESTS,
            sliding_window=limit_pb2.SlidingWindow(maximum=1, window=duration_pb2.Duration(seconds=1)),
        )
        limited = await suite.ratelimit.SetLimit(ratelimit_service_pb2.SetLimitRequest(limit=limit))
        assert limited.limit.source == budget.source


async def _budget(billing: Any) -> budget_pb2.Budget:
    given = budget_pb2.Budget(
        budget_id="b",
        organization_id="new",
        limit_nanos=9,
        period=budget_pb2.BUDGET_PERIOD_TOTAL,
        spent_nanos=5,
        held_nanos=5,
        reset_time=LONG_AGO,
    )
    budget: budget_pb2.Budget = (
        await billing.SetBudget(billing_service_pb2.SetBudgetRequest(budget=given))
    ).budget
    return budget
