"""The retry budget and its backoff."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services._runtime.calling.retry import RetryBudget, backoff_seconds


def test_what_was_saved_up_can_be_spent_and_no_more() -> None:
    budget = RetryBudget(ratio=0.0, floor_per_second=0.0, capacity=3.0)
    assert [budget.withdraw(0.0) for _ in range(5)] == [True, True, True, False, False]


def test_five_calls_earn_one_retry() -> None:
    budget = RetryBudget(ratio=0.2, floor_per_second=0.0, capacity=1.0)
    assert budget.withdraw(0.0)
    for _ in range(4):
        budget.deposit()
    assert not budget.withdraw(0.0)
    budget.deposit()
    budget.deposit()
    assert budget.withdraw(0.0)


def test_a_quiet_caller_earns_one_retry_a_second() -> None:
    budget = RetryBudget(ratio=0.0, floor_per_second=1.0, capacity=1.0)
    assert budget.withdraw(10.0)
    assert [budget.withdraw(at) for at in (10.5, 11.25, 11.5, 12.5)] == [False, True, False, True]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 0.5)), max_size=200))
def test_retries_never_exceed_the_share_the_floor_and_the_savings(steps: list[tuple[bool, float]]) -> None:
    budget, now, calls, retries = RetryBudget(0.2, 1.0, 5.0), 0.0, 0, 0
    for is_call, pause in steps:
        now += pause
        if is_call:
            calls += 1
            budget.deposit()
        else:
            retries += budget.withdraw(now)
    assert retries <= 5.0 + 0.2 * calls + now + 1e-6


@pytest.mark.parametrize(("attempt", "ceiling"), [(2, 0.02), (3, 0.04), (4, 0.08), (9, 0.25)])
def test_the_pause_is_anywhere_below_a_growing_ceiling(attempt: int, ceiling: float) -> None:
    assert backoff_seconds(attempt, 0.0) == 0.0
    assert backoff_seconds(attempt, 0.5) == pytest.approx(ceiling / 2)
