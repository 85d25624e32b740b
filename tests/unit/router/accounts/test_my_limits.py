"""How limits and budgets read to whom they bind."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from headgate.billing.v1 import budget_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import mine_pb2
from services.router.accounts.my_budgets import budget_told
from services.router.accounts.my_limits import counted_together, limits_told, tells_models_apart

WINDOW = limit_pb2.SlidingWindow(maximum=10, window=Duration(seconds=3600))
PER = limit_pb2.Dimension


def limit(limit_id: str = "l", per: tuple[int, ...] = (), **selector: str) -> limit_pb2.Limit:
    return limit_pb2.Limit(
        limit_id=limit_id,
        per=per,  # type: ignore[arg-type]
        selector=limit_pb2.Selector(**selector),  # type: ignore[arg-type]
        metric=limit_pb2.METRIC_REQUESTS,
        sliding_window=WINDOW,
    )


def status(limit_id: str, remaining: int, model: str = "") -> ratelimit.LimitStatus:
    return ratelimit.LimitStatus(
        limit_id=limit_id, limit=10, remaining=remaining, model=model, reset_after=Duration(seconds=5)
    )


def test_a_limit_is_told_with_its_rule_and_how_it_stands() -> None:
    (told,) = limits_told([limit(organization_id="acme")], [status("l", 7)])
    assert told == mine_pb2.MyLimit(
        limit_id="l",
        metric=limit_pb2.METRIC_REQUESTS,
        scope=mine_pb2.SCOPE_ORGANIZATION,
        sliding_window=WINDOW,
        limit=10,
        standings=[mine_pb2.MyLimitStanding(used=3, remaining=7, reset_after=Duration(seconds=5))],
    )


def test_a_limit_that_counts_models_apart_stands_once_for_each() -> None:
    statuses = [status("l", 4, "small"), status("l", 9, "large"), status("l", 9, "large")]
    (told,) = limits_told([limit(per=(PER.DIMENSION_MODEL,))], statuses)
    assert [(each.model, each.used) for each in told.standings] == [("large", 1), ("small", 6)]


def test_a_limit_of_which_nothing_stands_is_not_told() -> None:
    told = limits_told([limit("a"), limit("b"), limit("c")], [status("c", 1), status("b", 1), status("z", 1)])
    assert [each.limit_id for each in told] == ["b", "c"]


@pytest.mark.parametrize(
    ("one", "scope"),
    [
        (limit(), mine_pb2.SCOPE_INSTALLATION),
        (limit(user_id="ann"), mine_pb2.SCOPE_INSTALLATION),
        (limit(per=(PER.DIMENSION_MODEL,)), mine_pb2.SCOPE_INSTALLATION),
        (limit(organization_id="acme"), mine_pb2.SCOPE_ORGANIZATION),
        (limit(per=(PER.DIMENSION_ORGANIZATION,)), mine_pb2.SCOPE_ORGANIZATION),
        (limit(organization_id="acme", user_id="ann"), mine_pb2.SCOPE_USER),
        (limit(per=(PER.DIMENSION_ORGANIZATION,), user_id="ann"), mine_pb2.SCOPE_USER),
        (limit(per=(PER.DIMENSION_USER,)), mine_pb2.SCOPE_USER),
        (limit(per=(PER.DIMENSION_USER, PER.DIMENSION_KEY)), mine_pb2.SCOPE_KEY),
        (limit(key_id="k1"), mine_pb2.SCOPE_KEY),
    ],
)
def test_whom_a_limit_counts_together_is_said(one: limit_pb2.Limit, scope: int) -> None:
    assert counted_together(one) == scope


def test_limits_that_bind_a_model_or_count_models_apart_are_known() -> None:
    assert [
        tells_models_apart(one) for one in (limit(), limit(model="m"), limit(per=(PER.DIMENSION_MODEL,)))
    ] == [False, True, True]


def test_of_a_budget_what_is_neither_spent_nor_held_remains() -> None:
    budget = budget_pb2.Budget(
        budget_id="b",
        organization_id="acme",
        user_id="ann",
        limit_nanos=100,
        spent_nanos=60,
        held_nanos=15,
        period=budget_pb2.BUDGET_PERIOD_DAY,
        reset_time=Timestamp(seconds=86_400),
        etag="e",
    )
    assert budget_told(budget) == mine_pb2.MyBudget(
        budget_id="b",
        scope=mine_pb2.SCOPE_USER,
        limit_nanos=100,
        spent_nanos=60,
        held_nanos=15,
        remaining_nanos=25,
        period=budget_pb2.BUDGET_PERIOD_DAY,
        reset_time=Timestamp(seconds=86_400),
    )
    budget.spent_nanos = 101
    assert budget_told(budget).remaining_nanos == 0


@pytest.mark.parametrize(
    ("bound", "scope"),
    [
        ({}, mine_pb2.SCOPE_ORGANIZATION),
        ({"user_id": "ann"}, mine_pb2.SCOPE_USER),
        ({"user_id": "ann", "key_id": "k1"}, mine_pb2.SCOPE_KEY),
    ],
)
def test_whose_spending_a_budget_bounds_is_said(bound: dict[str, str], scope: int) -> None:
    budget = budget_pb2.Budget(budget_id="b", organization_id="acme", soft=True, **bound)  # type: ignore[arg-type]
    told = budget_told(budget)
    assert (told.scope, told.soft, told.HasField("reset_time")) == (scope, True, False)
