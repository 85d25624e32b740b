"""What budgets hold and have spent, kept in memory from commit to commit by a process that writes alone."""

from collections.abc import Iterable, Mapping

from services.billing.books import Changes
from services.billing.budgets import Budget, period_starts


class Balances:
    """`held_nanos` by budget and `spent_nanos` by budget and first day of its period, of the budgets learnt so far."""

    def __init__(self) -> None:
        self.held_nanos: dict[str, int] = {}
        self.spent_nanos: dict[tuple[str, int], int] = {}
        self._day = 0

    def unknown(self, budgets: Iterable[Budget], day: int) -> list[Budget]:
        """Those whose current period is yet to be learnt."""
        if day != self._day:
            self._day = day
            self.spent_nanos.clear()
        starts = period_starts(day)
        return [each for each in budgets if (each.budget_id, starts[each.period]) not in self.spent_nanos]

    def learn(
        self,
        budgets: Iterable[Budget],
        held_nanos: Mapping[str, int],
        spent_nanos: Mapping[tuple[str, int], int],
    ) -> None:
        """What the store has of `budgets`; a period that it has nothing of has spent nothing."""
        starts = period_starts(self._day)
        for budget in budgets:
            period = (budget.budget_id, starts[budget.period])
            self.held_nanos[budget.budget_id] = held_nanos[budget.budget_id]
            self.spent_nanos[period] = spent_nanos.get(period, 0)

    def apply(self, changes: Changes) -> None:
        """Once committed. What was not learnt stays so: the store has the whole of it."""
        for name, nanos in changes.held_nanos.items():
            if name in self.held_nanos:
                self.held_nanos[name] += nanos
        for period, nanos in changes.spent_nanos.items():
            if period in self.spent_nanos:
                self.spent_nanos[period] += nanos

    def forget(self) -> None:
        self.held_nanos.clear()
        self.spent_nanos.clear()
