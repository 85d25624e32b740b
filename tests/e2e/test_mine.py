"""Two organisations with several users and keys on one installation: each key is told of its own, and of nobody else."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2, usage_pb2
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from headgate.router.v1 import completion_pb2, mine_pb2
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.support.rpc_errors import refused
from tests.support.suite import RunningSuite
from tests.support.waiting import until

# The suite starts with the first test, on a machine that others use too.
pytestmark = pytest.mark.timeout(300)

# Two people have the same name: each within its own organisation.
PEOPLE = (
    ("red-org", "twin"),
    ("red-org", "twin"),
    ("red-org", "rita"),
    ("blue-org", "twin"),
    ("blue-org", "bert"),
)
SCOPES = (mine_pb2.SCOPE_KEY, mine_pb2.SCOPE_USER, mine_pb2.SCOPE_ORGANIZATION)
GROUPS = [number for number in usage_pb2.UsageDimension.values() if number]
SHOWS_OTHERS = {usage_pb2.USAGE_DIMENSION_USER, usage_pb2.USAGE_DIMENSION_KEY}


@dataclass(frozen=True)
class Owner:
    """A key and whose it is; `asked` completions were asked with it."""

    organization: str
    user: str
    key: str
    asked: int

    @property
    def key_id(self) -> str:
        return self.key.split("_")[1]

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.key}"),)

    def shares(self, other: "Owner", scope: int) -> bool:
        """Whether the other's use belongs to what this one sees in `scope`."""
        if scope == mine_pb2.SCOPE_KEY:
            return self.key == other.key
        same_user = self.user == other.user or scope == mine_pb2.SCOPE_ORGANIZATION
        return self.organization == other.organization and same_user


@dataclass(frozen=True)
class Town:
    """The installation, and all who have keys of it."""

    router: RouterServiceStub
    owners: tuple[Owner, ...]

    def names_foreign_to(self, owner: Owner) -> set[str]:
        """Ids of others that no answer to `owner` may hold, however it asks: its own user's keys are its own."""
        others = [other for other in self.owners if not owner.shares(other, mine_pb2.SCOPE_USER)]
        names = {other.key_id for other in others}
        names |= {other.organization for other in others} - {owner.organization}
        return names | ({other.user for other in others} - {owner.user})

    def answers_to(self, owner: Owner) -> Iterator[Message]:
        """Whatever a key can be told: every scope and grouping that is allowed, every limit and budget."""
        yield self.router.GetMyself(mine_pb2.GetMyselfRequest(), metadata=owner.metadata)
        yield self.router.ListMyLimits(mine_pb2.ListMyLimitsRequest(), metadata=owner.metadata)
        yield self.router.ListMyBudgets(mine_pb2.ListMyBudgetsRequest(), metadata=owner.metadata)
        for scope, group in product(SCOPES, GROUPS):
            if scope == mine_pb2.SCOPE_ORGANIZATION and group in SHOWS_OTHERS:
                continue
            request = mine_pb2.GetMyUsageRequest(scope=scope, group_by=[group])
            yield self.router.GetMyUsage(request, metadata=owner.metadata)


@pytest.fixture(scope="module")
def town(suite: RunningSuite) -> Iterator[Town]:
    with ExitStack() as ending:

        def connect(service: str) -> grpc.Channel:
            return ending.enter_context(grpc.insecure_channel(suite.addresses.grpc[service]))

        internal = (("authorization", f"Bearer {suite.internal_token}"),)
        bank, limiter = BillingServiceStub(connect("billing")), RateLimitServiceStub(connect("ratelimit"))
        owners = tuple(
            Owner(organization, user, suite.new_key(user, organization), number + 1)
            for number, (organization, user) in enumerate(PEOPLE)
        )
        town = Town(RouterServiceStub(connect("router")), owners)
        for owner in owners:
            _bind(owner, bank, limiter, internal)
            for number in range(owner.asked):
                request = completion_pb2.CompletionRequest(
                    model="sim-small", prompt=f"{owner.key_id} {number}"
                )
                town.router.Complete(request, metadata=owner.metadata)
        _await_booked(bank, internal, owners)
        yield town


def _bind(owner: Owner, bank: Any, limiter: Any, internal: Any) -> None:
    """A limit and a budget for each: the key, the user and the organisation, named after whom they bind."""
    bound: list[tuple[str, dict[str, str]]] = [
        (owner.organization, {}),
        (f"{owner.organization}/{owner.user}", {"user_id": owner.user}),
        (f"{owner.organization}/{owner.user}/{owner.key_id.lower()}", {"key_id": owner.key_id}),
    ]
    for name, whose in bound:
        limit = limit_pb2.Limit(
            limit_id=f"of/{name}",
            selector=limit_pb2.Selector(organization_id=owner.organization, **whose),  # type: ignore[arg-type]
            metric=limit_pb2.METRIC_REQUESTS,
            sliding_window=limit_pb2.SlidingWindow(maximum=1000, window=Duration(seconds=3600)),
        )
        limiter.SetLimit(ratelimit.SetLimitRequest(limit=limit), metadata=internal)
        budget = budget_pb2.Budget(
            budget_id=f"of/{name}",
            organization_id=owner.organization,
            limit_nanos=10**12,
            period=budget_pb2.BUDGET_PERIOD_DAY,
            soft=True,
            **whose,  # type: ignore[arg-type]
        )
        bank.SetBudget(billing.SetBudgetRequest(budget=budget), metadata=internal)


def _await_booked(bank: Any, internal: Any, owners: tuple[Owner, ...]) -> None:
    """What was asked is in the ledger a moment after it was answered."""
    expected = {owner.key_id: owner.asked for owner in owners}
    request = billing.QueryUsageRequest(group_by=[usage_pb2.USAGE_DIMENSION_KEY], page_size=1000)

    def booked() -> bool:
        rows = bank.QueryUsage(request, metadata=internal).rows
        return {row.key_id: row.attempts for row in rows if row.key_id in expected} == expected

    asyncio.run(until(booked, "the booking of what was asked"))


@pytest.mark.parametrize("number", range(len(PEOPLE)))
def test_no_answer_names_anybody_else(town: Town, number: int) -> None:
    owner = town.owners[number]
    foreign = town.names_foreign_to(owner)
    assert len(foreign) >= 3
    answers = list(town.answers_to(owner))
    assert len(answers) > 15
    for answer in answers:
        told = str(answer).lower()
        assert [name for name in foreign if name.lower() in told] == []


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("number", range(len(PEOPLE)))
def test_usage_is_the_sum_of_ones_own(town: Town, number: int, scope: mine_pb2.Scope.ValueType) -> None:
    owner = town.owners[number]
    request = mine_pb2.GetMyUsageRequest(scope=scope)
    (row,) = town.router.GetMyUsage(request, metadata=owner.metadata).rows
    assert row.attempts == sum(other.asked for other in town.owners if owner.shares(other, scope))
    assert row.cost_nanos > 0


@pytest.mark.parametrize("number", range(len(PEOPLE)))
def test_the_limits_that_bind_are_told_and_no_others(town: Town, number: int) -> None:
    owner = town.owners[number]
    told = town.router.ListMyLimits(mine_pb2.ListMyLimitsRequest(), metadata=owner.metadata).limits
    used = {limit.limit_id: limit.standings[0].used for limit in told if limit.limit_id.startswith("of/")}
    stem = f"of/{owner.organization}"
    assert set(used) == {stem, f"{stem}/{owner.user}", f"{stem}/{owner.user}/{owner.key_id.lower()}"}
    assert used[f"{stem}/{owner.user}/{owner.key_id.lower()}"] == owner.asked
    assert {limit.limit_id for limit in told if not limit.limit_id.startswith("of/")} >= {
        "default/requests-per-key",
        "default/tokens-per-user",
    }


@pytest.mark.parametrize("number", range(len(PEOPLE)))
def test_the_budgets_that_bind_are_told_with_what_was_spent(town: Town, number: int) -> None:
    owner = town.owners[number]
    budgets = town.router.ListMyBudgets(mine_pb2.ListMyBudgetsRequest(), metadata=owner.metadata).budgets
    spent = {budget.scope: budget.spent_nanos for budget in budgets}
    assert len(budgets) == len(spent) == len(SCOPES)
    for scope in SCOPES:
        request = mine_pb2.GetMyUsageRequest(scope=scope)
        (row,) = town.router.GetMyUsage(request, metadata=owner.metadata).rows
        assert spent[scope] == row.cost_nanos


def test_a_page_of_somebody_elses_goes_on_with_ones_own_or_not_at_all(town: Town) -> None:
    first, other = town.owners[0], town.owners[-1]
    limits = town.router.ListMyLimits(mine_pb2.ListMyLimitsRequest(page_size=1), metadata=first.metadata)
    request = mine_pb2.ListMyLimitsRequest(page_token=limits.next_page_token)
    told = town.router.ListMyLimits(request, metadata=other.metadata)
    assert not any(first.organization in limit.limit_id for limit in told.limits)
    budgets = town.router.ListMyBudgets(mine_pb2.ListMyBudgetsRequest(page_size=1), metadata=first.metadata)
    with refused() as refusal:
        town.router.ListMyBudgets(
            mine_pb2.ListMyBudgetsRequest(page_token=budgets.next_page_token), metadata=other.metadata
        )
    assert refusal.reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize("service", ["billing", "ratelimit"])
def test_the_inner_services_still_refuse_an_api_key(suite: RunningSuite, town: Town, service: str) -> None:
    with grpc.insecure_channel(suite.addresses.grpc[service]) as channel, refused() as refusal:
        metadata = town.owners[0].metadata
        if service == "billing":
            BillingServiceStub(channel).QueryUsage(billing.QueryUsageRequest(), metadata=metadata)
        else:
            RateLimitServiceStub(channel).ListLimits(ratelimit.ListLimitsRequest(), metadata=metadata)
    assert refusal.code == grpc.StatusCode.UNAUTHENTICATED
