"""Each field of an answer is filled by something: what a contract promises and nobody ever fills is found here."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message

from headgate.billing.v1 import account_service_pb2 as account
from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2, price_pb2
from headgate.billing.v1 import usage_pb2 as ledger
from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.chat.v1 import tool_pb2
from headgate.common.v1 import caller_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import completion_pb2, mine_pb2, router_service_pb2
from tests.support.accounting import all_settled
from tests.support.in_process import InProcessSuite, in_process
from tests.support.raw_http import DONE, EVENTS, answering
from tests.support.shapes import openai
from tests.support.shapes.shape import sse
from tests.sweep.fields import fields_of_answers

NOT_SAID = "a message of a caller has it, and no model says it"
LATER = "the call that would answer with it is for a later version"
ELSEWHERE = {
    "router.v1.Job.*": LATER,
    "router.v1.EmbedResponse.*": LATER,
    "router.v1.Embedding.*": LATER,
    "router.v1.ResumeCompletionResponse.*": LATER,
    "billing.v1.BudgetAlert.*": LATER,
    "billing.v1.ExportUsageResponse.*": LATER,
    "cache.v1.AcquireFillResponse.*": LATER,
    "cache.v1.LookupResponse.similarity": LATER,
    "cache.v1.GetStatsResponse.semantic_hits": LATER,
    "ratelimit.v1.CalendarWindow.*": LATER,
    "ratelimit.v1.Concurrency.*": LATER,
    "router.v1.ListJobsResponse.*": LATER,
    "cache.v1.GetStatsResponse.evictions": "only a full cache has any: tests/unit/cache/test_cache.py",
    "chat.v1.Blob.*": NOT_SAID,
    "chat.v1.Uri.*": NOT_SAID,
    "chat.v1.ToolResult.*": NOT_SAID,
    "chat.v1.Message.name": NOT_SAID,
    "chat.v1.Reasoning.signature": "Anthropic's: tests/unit/router/providers/test_conversations.py",
    "chat.v1.Reasoning.redacted_data": "Anthropic's: tests/unit/router/providers/test_conversations.py",
}
"""Of a message, or a field, why nothing here fills it; `*` stands for all of a message."""

SIGNED: dict[str, Any] = {"extra_content": {"google": {"thought_signature": "s"}}}
GROUPS = [number for number in ledger.UsageDimension.values() if number]
CLOCK = tool_pb2.Tool(name="clock", parameters_json='{"type":"object"}')
WEATHER = tool_pb2.Tool(name="weather", parameters_json='{"type":"object"}')


class Seen(set[str]):
    """The fields that were filled, `billing.v1.Budget.limit_nanos`."""

    def add_all(self, message: Any) -> Any:
        if isinstance(message, Message):
            for field, value in message.ListFields():
                self.add(field.full_name.removeprefix("headgate."))
                values = value if field.is_repeated else [value]
                for each in values if isinstance(values, list) or not hasattr(values, "items") else ():
                    self.add_all(each)
        return message


def section(url: str) -> dict[str, Any]:
    models = {
        "plain": "sim-small@tokens=3",
        "thinking": "sim-reasoning@reasoning=3",
        "broken": "sim-small@cut-after=1",
        "down": "sim-small@status=500",
        "slow": "sim-small@tokens=3,gap=30s",
    }
    targets: dict[str, dict[str, Any]] = {
        name: {"provider": "sim", "model": model} for name, model in models.items()
    }
    targets["plain"] |= {"context_window": 100_000, "max_output_tokens": 1000}
    targets["thinking"]["capabilities"] = ["reasoning"]
    targets["odd"] = {"provider": "odd", "model": "odd"}
    served = {name: {"targets": [name]} for name in targets} | {"rescued": {"targets": ["broken", "plain"]}}
    return {
        "providers": {
            "sim": {"api": "openai", "base_url": "simulator:/v1"},
            "odd": {"api": "openai", "base_url": url},
        },
        "targets": targets,
        "models": served,
    }


def said(heard: bytes) -> tuple[bytes, ...]:
    """A call with a signature, a refusal, and sources."""
    if not heard.startswith(b"POST"):
        return ()
    call = openai.piece("f", "{}", index=0, id="a") | SIGNED
    source: dict[str, Any] = {
        "type": "t",
        "url": "https://x",
        "title": "X",
        "cited_text": "c",
        "start_index": 1,
        "end_index": 2,
    }
    stream = sse(
        openai.chunk({"content": "hi", "extra_content": {"a": 1}}),
        openai.calls(call),
        openai.chunk({"refusal": "no"}),
        openai.chunk({"annotations": [source], "reasoning_details": [{"type": "x", "data": "y"}]}),
        openai.end("odd_reason"),
        openai.COUNTED,
    )
    return (EVENTS + b"connection: close\r\n\r\n", stream, DONE)


async def complete(suite: InProcessSuite, seen: Seen, model: str, **fields: Any) -> None:
    given: dict[str, Any] = {"prompt": "hi", "max_output_tokens": 50} | fields
    request = completion_pb2.CompletionRequest(model=model, **given)
    try:
        async for event in suite.router.StreamComplete(request, metadata=suite.metadata):
            seen.add_all(event)
        seen.add_all(await suite.router.Complete(request, metadata=suite.metadata))
    except grpc.aio.AioRpcError:
        return


async def use_router(suite: InProcessSuite, seen: Seen) -> None:
    expiry = timestamp_pb2.Timestamp(seconds=4 * 10**9)
    key, caller = await suite.new_key("acme", "ada", display_name="Ada's", expire_time=expiry)
    await use_limits(suite, seen, caller)
    suite.metadata = key
    await complete(suite, seen, "plain", temperature=0, choice_count=2, top_logprobs=2)
    await all_settled(suite)
    await complete(suite, seen, "plain", temperature=0, choice_count=2, top_logprobs=2)
    await complete(suite, seen, "plain", prompt="call:weather call:clock", tools=[WEATHER, CLOCK])
    await complete(suite, seen, "thinking")
    await complete(suite, seen, "odd")
    await complete(suite, seen, "rescued")
    for _ in range(6):
        await complete(suite, seen, "down")
    await all_settled(suite)
    await complete(suite, seen, "plain")
    await all_settled(suite)
    router = suite.router
    slow = router.StreamComplete(
        completion_pb2.CompletionRequest(model="slow", prompt="hi", max_output_tokens=9), metadata=key
    )
    await slow.read()
    seen.add_all(await router.ListTargets(router_service_pb2.ListTargetsRequest(), metadata=key))
    slow.cancel()
    calls = [
        router.CountTokens(router_service_pb2.CountTokensRequest(model="plain", prompt="hi"), metadata=key),
        router.ListModels(router_service_pb2.ListModelsRequest(), metadata=key),
        router.GetModel(router_service_pb2.GetModelRequest(model_id="plain"), metadata=key),
        router.GetMyself(mine_pb2.GetMyselfRequest(), metadata=key),
        router.GetMyUsage(mine_pb2.GetMyUsageRequest(group_by=GROUPS, page_size=1), metadata=key),
        router.ListMyLimits(mine_pb2.ListMyLimitsRequest(model="plain", page_size=1), metadata=key),
        router.ListMyLimits(mine_pb2.ListMyLimitsRequest(model="plain"), metadata=key),
        router.ListMyBudgets(mine_pb2.ListMyBudgetsRequest(page_size=1), metadata=key),
        router.ListMyBudgets(mine_pb2.ListMyBudgetsRequest(), metadata=key),
    ]
    for call in calls:
        seen.add_all(await cast("Any", call))


async def use_limits(suite: InProcessSuite, seen: Seen, caller: caller_pb2.Caller) -> None:
    """And a budget, soft, with something held."""
    hour = duration_pb2.Duration(seconds=3600)
    for per in (limit_pb2.DIMENSION_MODEL, limit_pb2.DIMENSION_USER):
        limit = limit_pb2.Limit(
            limit_id=f"s{per}-{caller.key_id.lower()}",
            metric=limit_pb2.METRIC_REQUESTS,
            per=[per],
            shadow=True,
        )
        limit.token_bucket.CopyFrom(limit_pb2.TokenBucket(refill_amount=1, refill_interval=hour, burst=2))
        seen.add_all(await suite.ratelimit.SetLimit(ratelimit.SetLimitRequest(limit=limit)))
    limit.limit_id = f"labelled-{caller.key_id.lower()}"
    limit.store_loss_policy = limit_pb2.STORE_LOSS_POLICY_OPEN
    limit.selector.CopyFrom(
        limit_pb2.Selector(
            organization_id="acme", user_id="ada", key_id=caller.key_id, model="plain", labels={"a": "b"}
        )
    )
    seen.add_all(await suite.ratelimit.SetLimit(ratelimit.SetLimitRequest(limit=limit)))
    budget = budget_pb2.Budget(
        budget_id=caller.key_id.lower(),
        organization_id="acme",
        user_id="ada",
        key_id=caller.key_id,
        limit_nanos=10**15,
        period=budget_pb2.BUDGET_PERIOD_DAY,
        soft=True,
        alert_percents=[80],
    )
    seen.add_all(await suite.billing.SetBudget(billing.SetBudgetRequest(budget=budget)))
    candidate = billing.Candidate(provider="sim", model="sim-small@tokens=3")
    hold = billing.AuthorizeRequest(
        hold_id=f"held-{caller.key_id}",
        caller=caller,
        candidates=[candidate],
        input_tokens=9,
        max_output_tokens=9,
    )
    seen.add_all(await suite.billing.Authorize(hold))


async def use_billing(suite: InProcessSuite, seen: Seen) -> None:
    bank, accounts = suite.billing, suite.accounts
    for number in range(2):
        budget = budget_pb2.Budget(
            budget_id=f"b{number}",
            organization_id="acme",
            user_id="",
            limit_nanos=10**15,
            period=budget_pb2.BUDGET_PERIOD_DAY,
            soft=bool(number),
            alert_percents=[80],
        )
        seen.add_all(await bank.SetBudget(billing.SetBudgetRequest(budget=budget)))
        candidate = billing.Candidate(provider="sim", model="sim-small@tokens=3")
        hold = billing.AuthorizeRequest(
            hold_id=f"h{number}",
            caller=suite.caller,
            candidates=[candidate],
            input_tokens=9,
            max_output_tokens=9,
        )
        seen.add_all(await bank.Authorize(hold))
        bad = billing.AuthorizeRequest(hold_id="bad")
        seen.add_all(await bank.BatchAuthorize(billing.BatchAuthorizeRequest(requests=[hold, bad])))
    tiers = [
        price_pb2.PriceTier(
            min_input_tokens=at,
            input_nanos_per_million=1,
            output_nanos_per_million=1,
            cache_read_nanos_per_million=1,
            cache_write_nanos_per_million=1,
        )
        for at in (0, 10)
    ]
    price = price_pb2.Price(provider="p", model="q", organization_id="acme", tiers=tiers, request_nanos=1)
    price.effective_time.GetCurrentTime()
    seen.add_all(await bank.SetPrice(billing.SetPriceRequest(price=price)))
    (entry, *_) = await suite.entries()
    again = ledger.UsageRecord()
    again.CopyFrom(entry.record)
    again.attempt_id += ".again"
    again.usage.cache_read_input_tokens = again.usage.cache_write_input_tokens = 1
    again.usage.reasoning_output_tokens = 1
    again.labels["team"] = "x"
    again.end_user_id, again.service_tier, again.provider = "u", "flex", "nobody"
    again.usage.input_tokens = again.usage.output_tokens = 3
    again.usage.total_tokens = 6
    bad_record = ledger.UsageRecord(attempt_id="bad")
    seen.add_all(await bank.RecordUsage(billing.RecordUsageRequest(records=[again, bad_record])))
    more = ledger.UsageRecord()
    more.CopyFrom(entry.record)
    more.attempt_id += ".more"
    more.usage.input_tokens = 10**6
    more.usage.total_tokens = more.usage.output_tokens + 10**6
    capture = billing.CaptureRequest(hold_id="h0", records=[again, more])
    seen.add_all(await bank.ListHolds(billing.ListHoldsRequest(page_size=1)))
    seen.add_all(await bank.Capture(capture))
    bad_capture = billing.CaptureRequest(hold_id="h1", records=[bad_record])
    seen.add_all(await bank.BatchCapture(billing.BatchCaptureRequest(requests=[capture, bad_capture])))
    seen.add_all(await bank.Void(billing.VoidRequest(hold_id="h1")))
    user = account.Account(organization_id="acme", user_id="bob", display_name="Bob")
    seen.add_all(await accounts.CreateAccount(account.CreateAccountRequest(account=user)))
    key = account.Key(organization_id="acme", user_id="bob", display_name="k")
    key.expire_time.FromSeconds(4 * 10**9)
    made = seen.add_all(await accounts.CreateKey(account.CreateKeyRequest(key=key)))
    where = made.key.key_id
    calls = [
        bank.QueryUsage(billing.QueryUsageRequest(group_by=GROUPS, page_size=1)),
        bank.QueryUsage(billing.QueryUsageRequest(group_by=GROUPS)),
        bank.ListUsage(billing.ListUsageRequest(page_size=1)),
        bank.ListUsage(billing.ListUsageRequest()),
        bank.ListPrices(billing.ListPricesRequest(page_size=1)),
        bank.ListPrices(billing.ListPricesRequest(provider="p")),
        bank.GetBudget(billing.GetBudgetRequest(budget_id="b0")),
        bank.ListBudgets(billing.ListBudgetsRequest(page_size=1)),
        accounts.GetAccount(account.GetAccountRequest(organization_id="acme", user_id="bob")),
        accounts.ListAccounts(account.ListAccountsRequest(organization_id="acme", page_size=1)),
        accounts.ListKeys(account.ListKeysRequest(organization_id="acme", page_size=1)),
        accounts.GetKey(account.GetKeyRequest(key_id=where)),
        accounts.RenameKey(account.RenameKeyRequest(key_id=where, display_name="l")),
        accounts.ResolveKey(account.ResolveKeyRequest(token=made.token)),
    ]
    for call in calls:
        seen.add_all(await cast("Any", call))
    seen.add_all(await accounts.RevokeKey(account.RevokeKeyRequest(key_id=where)))


async def use_the_rest(suite: InProcessSuite, seen: Seen) -> None:
    lookup = cache.LookupRequest(caller=suite.caller, model="m", content=b"x", scope=cache.CACHE_SCOPE_USER)
    missed = seen.add_all(await suite.cache.Lookup(lookup))
    (entry, *_) = await suite.entries()
    store = cache.StoreRequest(
        key=missed.key, caller=suite.caller, value=b"v", cost_nanos=9, usage=entry.record.usage
    )
    seen.add_all(await suite.cache.Store(store))
    bad = cache.LookupRequest()
    seen.add_all(await suite.cache.BatchLookup(cache.BatchLookupRequest(requests=[lookup, bad])))
    seen.add_all(
        await suite.cache.BatchStore(cache.BatchStoreRequest(requests=[store, cache.StoreRequest()]))
    )
    seen.add_all(await suite.cache.GetStats(cache.GetStatsRequest(organization_id="acme")))
    one = ratelimit.Amounts(requests=1)
    reserve = ratelimit.ReserveRequest(reservation_id="r", caller=suite.caller, model="plain", amounts=one)
    settle = ratelimit.SettleRequest(reservation_id="r", caller=suite.caller, amounts=one)
    seen.add_all(await suite.ratelimit.Reserve(reserve))
    renew = ratelimit.RenewRequest(
        reservation_id="r", caller=suite.caller, ttl=duration_pb2.Duration(seconds=9)
    )
    seen.add_all(await suite.ratelimit.Renew(renew))
    wrong = ratelimit.ReserveRequest()
    seen.add_all(await suite.ratelimit.BatchReserve(ratelimit.BatchReserveRequest(requests=[reserve, wrong])))
    settles = [settle, ratelimit.SettleRequest()]
    seen.add_all(await suite.ratelimit.Settle(settle))
    seen.add_all(await suite.ratelimit.BatchSettle(ratelimit.BatchSettleRequest(requests=settles)))
    reserve.reservation_id = "s"
    seen.add_all(await suite.ratelimit.Reserve(reserve))
    release = ratelimit.ReleaseRequest(reservation_id="s", caller=suite.caller)
    seen.add_all(await suite.ratelimit.Release(release))
    peek = ratelimit.PeekRequest(caller=suite.caller, models=["plain"])
    seen.add_all(await suite.ratelimit.Peek(peek))
    seen.add_all(await suite.ratelimit.GetLimit(ratelimit.GetLimitRequest(limit_id="requests")))
    seen.add_all(await suite.ratelimit.ListLimits(ratelimit.ListLimitsRequest(page_size=1)))


async def exchanged(suite: InProcessSuite, seen: Seen) -> None:
    async def one(request: Any) -> AsyncIterator[Any]:
        yield request

    capture = billing.ExchangeRequest()
    capture.capture.requests.add(hold_id="h9")
    capture.authorize.requests.add(hold_id="bad")
    settle = ratelimit.ExchangeRequest()
    settle.settle.requests.add(reservation_id="r")
    settle.reserve.requests.add()
    store = cache.ExchangeRequest()
    store.store.requests.add()
    store.lookup.requests.add()
    for stub, request in ((suite.billing, capture), (suite.ratelimit, settle), (suite.cache, store)):
        async for response in stub.Exchange(one(request)):
            seen.add_all(response)


async def test_each_field_of_an_answer_is_filled_by_something(tmp_path: Path) -> None:
    seen = Seen()
    async with answering(said) as (url, _), in_process(tmp_path, section(url)) as suite:
        await use_router(suite, seen)
        await use_billing(suite, seen)
        await use_router(suite, seen)
        await use_the_rest(suite, seen)
        await exchanged(suite, seen)
    empty = {
        field
        for field in fields_of_answers() - seen
        if field not in ELSEWHERE and f"{field.rpartition('.')[0]}.*" not in ELSEWHERE
    }
    assert not empty, (
        f"nothing here fills {', '.join(sorted(empty))}: add a call that does, or say in ELSEWHERE why none can"
    )
