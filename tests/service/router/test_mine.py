"""What a key tells its owner: whose it is, what was used, and which limits and budgets bind it."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2, usage_pb2
from headgate.common.v1.caller_pb2 import Caller
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import mine_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, router_section
from tests.support.in_process import CAPACITY, InProcessSuite
from tests.support.rpc_errors import refused

SECTION = router_section({"large": ["sim-large@tokens=2"], "small": ["sim-small@tokens=4"]})
DAY, KEY, MODEL, USER = (
    usage_pb2.USAGE_DIMENSION_DAY,
    usage_pb2.USAGE_DIMENSION_KEY,
    usage_pb2.USAGE_DIMENSION_MODEL,
    usage_pb2.USAGE_DIMENSION_USER,
)
PEOPLE = {"ann1": "ann", "ann2": "ann", "bob1": "bob"}


class Owner:
    """Whoever holds a key, and nothing else."""

    def __init__(self, suite: InProcessSuite, metadata: Any, caller: Caller) -> None:
        self._router, self._metadata = suite.router, metadata
        self.caller = caller

    async def asks(self, model: str, number: int) -> None:
        await self._router.Complete(ask(model, number), metadata=self._metadata)

    async def usage(self, **fields: Any) -> mine_pb2.GetMyUsageResponse:
        return await self._router.GetMyUsage(mine_pb2.GetMyUsageRequest(**fields), metadata=self._metadata)

    async def limits(self, **fields: Any) -> mine_pb2.ListMyLimitsResponse:
        return await self._router.ListMyLimits(
            mine_pb2.ListMyLimitsRequest(**fields), metadata=self._metadata
        )

    async def budgets(self, **fields: Any) -> mine_pb2.ListMyBudgetsResponse:
        return await self._router.ListMyBudgets(
            mine_pb2.ListMyBudgetsRequest(**fields), metadata=self._metadata
        )

    async def myself(self) -> mine_pb2.Myself:
        request = mine_pb2.GetMyselfRequest()
        return (await self._router.GetMyself(request, metadata=self._metadata)).myself


async def owner(suite: InProcessSuite, user_id: str = "", **fields: Any) -> Owner:
    return Owner(suite, *await suite.new_key("acme", user_id, **fields))


async def limited(suite: InProcessSuite, limit_id: str, per: tuple[int, ...] = (), **selector: Any) -> None:
    limit = limit_pb2.Limit(
        limit_id=limit_id,
        selector=limit_pb2.Selector(**selector),
        per=per,  # type: ignore[arg-type]
        metric=limit_pb2.METRIC_REQUESTS,
        sliding_window=limit_pb2.SlidingWindow(maximum=10, window=Duration(seconds=3600)),
    )
    await suite.ratelimit.SetLimit(ratelimit.SetLimitRequest(limit=limit))


async def budgeted(suite: InProcessSuite, budget_id: str, *, soft: bool = False, **whose: str) -> None:
    budget = budget_pb2.Budget(
        budget_id=budget_id,
        limit_nanos=10**9,
        period=budget_pb2.BUDGET_PERIOD_MONTH,
        soft=soft,
        **whose,  # type: ignore[arg-type]
    )
    await suite.billing.SetBudget(billing.SetBudgetRequest(budget=budget))


async def test_a_key_tells_whose_it_is_and_when_it_ends(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        ends = Timestamp(seconds=4_000_000_000)
        ann = await owner(suite, "ann", display_name="laptop", expire_time=ends)
        told = await ann.myself()
        assert (told.organization_id, told.user_id) == ("acme", "ann")
        assert (told.key_id, told.display_name, told.expire_time) == (ann.caller.key_id, "laptop", ends)
        assert told.HasField("create_time")
        assert not (await (await owner(suite)).myself()).HasField("expire_time")


async def test_usage_is_summed_for_the_key_its_user_or_its_organisation(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        owners = {name: await owner(suite, user) for name, user in PEOPLE.items()}
        for number, one in enumerate(owners.values()):
            for _ in range(number + 1):
                await one.asks("small", number)
        await all_settled(suite)
        booked = await suite.entries()
        ann1 = owners["ann1"]
        for scope, mine in (
            (mine_pb2.SCOPE_UNSPECIFIED, {"ann1"}),
            (mine_pb2.SCOPE_USER, {"ann1", "ann2"}),
            (mine_pb2.SCOPE_ORGANIZATION, set(PEOPLE)),
        ):
            keys = {owners[name].caller.key_id for name in mine}
            entries = [entry for entry in booked if entry.record.caller.key_id in keys]
            answer = await ann1.usage(scope=scope)
            (row,) = answer.rows
            assert row.attempts == len(entries)
            assert row.cost_nanos == sum(entry.cost.amount_nanos for entry in entries)
            assert row.usage.output_tokens == sum(entry.record.usage.output_tokens for entry in entries)
            assert answer.scope == (scope or mine_pb2.SCOPE_KEY)
            assert answer.start_time.ToDatetime().day == 1


async def test_a_user_sees_its_keys_apart_and_usage_over_pages(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        owners = {name: await owner(suite, user) for name, user in PEOPLE.items()}
        for one in owners.values():
            await one.asks("small", 1)
            await one.asks("large", 2)
        await all_settled(suite)
        rows: list[usage_pb2.UsageRow] = []
        token = ""
        while True:
            page = await owners["ann1"].usage(
                scope=mine_pb2.SCOPE_USER, group_by=[DAY, KEY, MODEL], page_size=3, page_token=token
            )
            rows += page.rows
            if not (token := page.next_page_token):
                break
        models = {"sim-small@tokens=4", "sim-large@tokens=2"}
        assert len(rows) == 4
        assert {(row.key_id, row.model) for row in rows} == {
            (owners[name].caller.key_id, model) for name in ("ann1", "ann2") for model in models
        }
        only = await owners["ann1"].usage(model="sim-small@tokens=4", group_by=[MODEL])
        assert [(row.model, row.attempts) for row in only.rows] == [("sim-small@tokens=4", 1)]
        past = await owners["ann1"].usage(start_time=Timestamp(seconds=1), end_time=Timestamp(seconds=2))
        assert not past.rows


async def test_usage_that_would_show_others_is_refused_by_its_field(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        ann, nobody = await owner(suite, "ann"), await owner(suite)
        for asking, fields, field in (
            (ann, {"scope": mine_pb2.SCOPE_ORGANIZATION, "group_by": [DAY, USER]}, "group_by[1]"),
            (ann, {"scope": mine_pb2.SCOPE_ORGANIZATION, "group_by": [KEY]}, "group_by[0]"),
            (ann, {"scope": mine_pb2.SCOPE_INSTALLATION}, "scope"),
            (ann, {"model": "a\0b"}, "model"),
            (nobody, {"scope": mine_pb2.SCOPE_USER}, "scope"),
        ):
            with refused() as refusal:
                await asking.usage(**fields)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
            assert (refusal.fields, refusal.domain) == ((field,), "router.headgate")
        with refused() as refusal:
            await ann.usage(page_token="not one")
        assert refusal.reason == "INVALID_PAGE_TOKEN"


async def test_limits_show_how_they_stand_for_each_model_that_they_count(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        ann = await owner(suite, "ann")
        await limited(suite, "a/each-model", (limit_pb2.DIMENSION_KEY, limit_pb2.DIMENSION_MODEL))
        await limited(suite, "b/small", organization_id="acme", model="small")
        await limited(suite, "c/red", organization_id="acme", labels={"team": "red"})
        await limited(suite, "d/bob", organization_id="acme", user_id="bob")
        await ann.asks("small", 1)
        await all_settled(suite)
        told = {limit.limit_id: limit for limit in (await ann.limits()).limits}
        assert list(told) == ["a/each-model", "b/small", "input", "output", "requests"]
        stands = {
            limit_id: [(each.model, each.used, each.remaining) for each in limit.standings]
            for limit_id, limit in told.items()
        }
        assert stands["a/each-model"] == [("large", 0, 10), ("small", 1, 9)]
        assert stands["b/small"] == [("small", 1, 9)]
        assert stands["requests"] == [("", 1, CAPACITY - 1)]
        assert told["a/each-model"].scope == mine_pb2.SCOPE_KEY
        assert told["a/each-model"].sliding_window.window.seconds == 3600
        assert told["requests"].standings[0].reset_after.seconds > 0
        large = (await ann.limits(model="large", labels={"team": "red"})).limits
        assert [limit.limit_id for limit in large] == ["a/each-model", "c/red", "input", "output", "requests"]
        assert [each.model for each in large[0].standings] == ["large"]


async def test_limits_come_in_pages_and_of_models_that_exist(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        ann = await owner(suite, "ann")
        ids, token = [], ""
        while True:
            page = await ann.limits(page_size=2, page_token=token)
            ids += [limit.limit_id for limit in page.limits]
            if not (token := page.next_page_token):
                break
        assert ids == ["input", "output", "requests"]
        with refused() as refusal:
            await ann.limits(model="no-such-model")
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        assert refusal.fields == ("model",)
        with refused() as refusal:
            await ann.limits(page_token="not one")
        assert refusal.reason == "INVALID_PAGE_TOKEN"


async def test_budgets_show_what_is_left_of_them(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        ann = await owner(suite, "ann")
        await budgeted(suite, "a/whole", organization_id="acme")
        await budgeted(suite, "b/ann", organization_id="acme", user_id="ann", soft=True)
        await budgeted(suite, "c/bob", organization_id="acme", user_id="bob")
        await ann.asks("small", 1)
        await all_settled(suite)
        (entry,) = await suite.entries()
        whole, hers = (await ann.budgets()).budgets
        assert (whole.budget_id, whole.scope, whole.soft) == ("a/whole", mine_pb2.SCOPE_ORGANIZATION, False)
        assert (hers.budget_id, hers.scope, hers.soft) == ("b/ann", mine_pb2.SCOPE_USER, True)
        for budget in (whole, hers):
            assert budget.spent_nanos == entry.cost.amount_nanos > 0
            assert (budget.held_nanos, budget.limit_nanos) == (0, 10**9)
            assert budget.remaining_nanos == 10**9 - budget.spent_nanos
            assert budget.period == budget_pb2.BUDGET_PERIOD_MONTH
            assert budget.reset_time.ToDatetime().day == 1
        first = await ann.budgets(page_size=1)
        second = await ann.budgets(page_size=1, page_token=first.next_page_token)
        assert [*first.budgets, *second.budgets] == [whole, hers]
        assert second.next_page_token == ""


async def unreachable(asking: Callable[[], Awaitable[Any]], peer: str) -> None:
    with refused() as refusal:
        await asking()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE")
    assert refusal.message.startswith(f"{peer}, which ")
    assert (refusal.retry_seconds, refusal.domain) == (1, "router.headgate")


async def test_without_billing_limits_are_told_and_the_rest_says_who_is_missing(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION, HEADGATE_ROUTER_KEY_FRESH_SECONDS="0") as suite:
        ann = await owner(suite, "ann")
        await ann.myself()
        await suite.services["billing"].stop()
        assert (await ann.limits()).limits
        for asking in (ann.myself, ann.usage, ann.budgets):
            await unreachable(asking, "billing")


async def test_without_the_rate_limiter_all_but_limits_is_told(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        ann = await owner(suite, "ann")
        await suite.services["ratelimit"].stop()
        assert (await ann.myself()).user_id == "ann"
        assert not (await ann.usage()).rows
        assert not (await ann.budgets()).budgets
        await unreachable(ann.limits, "ratelimit")


async def test_without_a_key_nothing_is_told(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        stranger = Owner(suite, (), Caller())
        for asking in (stranger.myself, stranger.usage, stranger.limits, stranger.budgets):
            with refused() as refusal:
                await asking()
            assert refusal.code == grpc.StatusCode.UNAUTHENTICATED
