"""Budget periods against the calendar, and the digests that tell records apart."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from services.billing.budgets import Budget, BudgetIndex, Period
from services.billing.pricing import TokenCounts
from services.billing.usage import NS_PER_DAY, Caller, UsageRecord, day_name

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = st.integers(0, 100_000)
RECORD = UsageRecord(
    attempt_id="a",
    completion_id="c",
    caller=Caller("o", "u", "k"),
    provider="p",
    model="m",
    tokens=TokenCounts(5, 4, 3, 2, 1),
    start_ns=1,
    end_ns=2,
    outcome=1,
    labels={"x": "1", "y": "2"},
)


@given(DAYS)
def test_a_month_begins_on_its_first_and_ends_with_the_next_ones(day: int) -> None:
    date = EPOCH + timedelta(days=day)
    first = date.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    assert Period.MONTH.start_day(day) == (first - EPOCH).days
    assert Period.MONTH.end_ns(day) == (following - EPOCH).days * NS_PER_DAY


@given(DAYS)
def test_a_day_is_itself_and_a_total_never_ends(day: int) -> None:
    assert (Period.DAY.start_day(day), Period.DAY.end_ns(day)) == (day, (day + 1) * NS_PER_DAY)
    assert (Period.TOTAL.start_day(day), Period.TOTAL.end_ns(day)) == (0, None)


@given(DAYS)
def test_a_day_is_named_as_in_iso_8601(day: int) -> None:
    assert day_name(day) == (EPOCH + timedelta(days=day)).date().isoformat()


@pytest.mark.parametrize(
    ("budget", "binds"),
    [
        (Budget("b", "o", 0, Period.DAY), True),
        (Budget("b", "o", 0, Period.DAY, user_id="u", key_id="k"), True),
        (Budget("b", "o", 0, Period.DAY, user_id="other"), False),
        (Budget("b", "o", 0, Period.DAY, key_id="other"), False),
        (Budget("b", "other", 0, Period.DAY), False),
    ],
)
def test_a_budget_binds_whom_its_fields_name(budget: Budget, *, binds: bool) -> None:
    assert budget.binds(RECORD.caller) is binds
    assert bool(BudgetIndex([budget]).binding(RECORD.caller)) is binds
    assert (budget.budget_id in BudgetIndex([budget]).bound([RECORD.caller])) is binds


CHANGED: dict[str, Any] = {
    "attempt_id": "b",
    "completion_id": "d",
    "caller": Caller("o", "u", "l"),
    "provider": "q",
    "model": "n",
    "tokens": TokenCounts(5, 4, 3, 2, 0),
    "start_ns": 0,
    "end_ns": 3,
    "outcome": 2,
    "requested_model": "r",
    "usage_source": 1,
    "cache_status": 1,
    "first_token_ns": 0,
    "labels": {"x": "1"},
    "end_user_id": "e",
    "service_tier": "batch",
}


@pytest.mark.parametrize("name", [field.name for field in fields(UsageRecord)])
def test_every_field_of_a_record_is_in_its_digest(name: str) -> None:
    assert replace(RECORD, **{name: CHANGED[name]}).digest() != RECORD.digest()


def test_the_order_of_labels_is_not() -> None:
    assert replace(RECORD, labels={"y": "2", "x": "1"}).digest() == RECORD.digest()


def test_a_digest_is_the_same_in_every_release() -> None:
    assert RECORD.digest().hex() == "c41a7bb760ea8ed3c2bdf085ad7961f7"


def test_text_does_not_run_over_from_one_field_to_the_next() -> None:
    one, other = replace(RECORD, provider="ab", model="c"), replace(RECORD, provider="a", model="bc")
    assert one.digest() != other.digest()
