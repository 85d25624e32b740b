"""Budgets: which of them bind a caller, over what time they count, and what they have left."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache

from services.billing.pricing import Source
from services.billing.usage import NS_PER_DAY, Caller

_SECONDS_PER_DAY = 86_400
_MAX_REMEMBERED = 10_000


class Period(IntEnum):
    """Over what time a budget counts, in UTC; the contract's numbers."""

    TOTAL = 1
    DAY = 2
    MONTH = 3

    def start_day(self, day: int) -> int:
        """The first day of the period that `day` (since 1970-01-01) is in; 0 for TOTAL."""
        if self is Period.DAY:
            return day
        if self is Period.MONTH:
            date = datetime.fromtimestamp(day * _SECONDS_PER_DAY, UTC)
            return day - date.day + 1
        return 0

    def end_ns(self, day: int) -> int | None:
        """When the period of `day` ends; None for TOTAL."""
        if self is Period.TOTAL:
            return None
        first = self.start_day(day)
        # Day 32 of a month is always in the next one.
        following = first + 1 if self is Period.DAY else self.start_day(first + 31)
        return following * NS_PER_DAY


@lru_cache(64)
def period_starts(day: int) -> tuple[int, ...]:
    """By the number of the period: the first day of the one that `day` is in."""
    return (0, *(period.start_day(day) for period in Period))


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent in a period, by whom its fields name; empty ones bind everybody."""

    budget_id: str
    organization_id: str
    limit_nanos: int
    period: Period
    user_id: str = ""
    key_id: str = ""
    soft: bool = False
    alert_percents: tuple[int, ...] = ()
    source: Source = Source.API
    etag: str = ""

    def binds(self, caller: Caller) -> bool:
        return (
            self.organization_id == caller.organization_id
            and self.user_id in {"", caller.user_id}
            and self.key_id in {"", caller.key_id}
        )


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A budget with what its current period has spent, and what requests in flight hold."""

    budget: Budget
    spent_nanos: int
    held_nanos: int
    reset_ns: int | None


class BudgetIndex:
    """All budgets, found by the caller that they bind."""

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self._by_organization: dict[str, list[Budget]] = {}
        self._found: dict[Caller, Sequence[Budget]] = {}
        for budget in sorted(budgets, key=lambda each: each.budget_id):
            self._by_organization.setdefault(budget.organization_id, []).append(budget)

    def binding(self, caller: Caller) -> Sequence[Budget]:
        """Ordered by id."""
        mine = self._by_organization.get(caller.organization_id)
        if not mine:
            return ()
        found = self._found.get(caller)
        if found is None:
            if len(self._found) >= _MAX_REMEMBERED:
                self._found.clear()
            found = self._found[caller] = [budget for budget in mine if budget.binds(caller)]
        return found

    def bound(self, callers: Iterable[Caller]) -> dict[str, Budget]:
        """By id, the budgets that bind any of `callers`."""
        if not self._by_organization:
            return {}
        return {budget.budget_id: budget for caller in set(callers) for budget in self.binding(caller)}
