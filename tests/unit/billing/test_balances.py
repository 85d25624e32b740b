"""Balances kept from commit to commit."""

from services.billing.balances import Balances
from services.billing.books import Changes
from services.billing.budgets import Budget, Period

TODAY = 20_000
DAILY = Budget("daily", "acme", 100, Period.DAY)
TOTAL = Budget("total", "acme", 100, Period.TOTAL)


def learnt() -> Balances:
    balances = Balances()
    unknown = balances.unknown([DAILY, TOTAL], TODAY)
    balances.learn(unknown, {"daily": 5, "total": 6}, {("total", 0): 7})
    return balances


def test_what_was_learnt_is_not_asked_for_again() -> None:
    balances = learnt()
    assert balances.unknown([DAILY, TOTAL], TODAY) == []
    assert balances.held_nanos == {"daily": 5, "total": 6}
    assert balances.spent_nanos == {("daily", TODAY): 0, ("total", 0): 7}


def test_changes_are_added_to_what_was_learnt_and_to_nothing_else() -> None:
    balances = learnt()
    spent = {("daily", TODAY): 1, ("daily", TODAY - 1): 50, ("other", 0): 50}
    balances.apply(Changes(held_nanos={"daily": -5, "other": 50}, spent_nanos=spent))
    assert balances.held_nanos == {"daily": 0, "total": 6}
    assert balances.spent_nanos == {("daily", TODAY): 1, ("total", 0): 7}


def test_on_another_day_everything_is_asked_for_again() -> None:
    assert learnt().unknown([DAILY, TOTAL], TODAY + 1) == [DAILY, TOTAL]


def test_what_is_forgotten_is_asked_for_again() -> None:
    balances = learnt()
    balances.forget()
    assert balances.unknown([DAILY, TOTAL], TODAY) == [DAILY, TOTAL]
