"""A ledger in memory around the decisions of `Books`: what a store does, without a database."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services._runtime.errors import GatewayError
from services.billing.books import Booked, Books, Hold, Operation, Result, Rows
from services.billing.budgets import Budget, BudgetIndex
from services.billing.catalog import Catalog
from services.billing.prices import PriceBook
from services.billing.pricing import Price, Tier

if TYPE_CHECKING:
    from services.billing.usage import Entry

NOON = 1_795_435_200 * 10**9  # 2026-11-23 12:00 UTC
UNIT_PRICE = Price("test:unit", "house", "unit", (Tier(0, 1_000_000, 2_000_000),))


class Shelf:
    def __init__(self, budgets: Sequence[Budget] = ()) -> None:
        self.budgets = BudgetIndex(budgets)
        self.prices = PriceBook(Catalog([]), [UNIT_PRICE])
        self.holds: dict[str, Hold] = {}
        self.entries: dict[str, Entry] = {}
        self.held = {budget.budget_id: 0 for budget in budgets}
        self.spent: dict[tuple[str, int], int] = {}

    def post(self, operations: Sequence[Operation], now_ns: int = NOON) -> list[Result | GatewayError]:
        booked = {name: Booked(entry.digest, entry.cost) for name, entry in self.entries.items()}
        rows = Rows(dict(self.holds), booked, dict(self.held), dict(self.spent))
        books = Books(rows, self.budgets, self.prices, "book_zero", now_ns)
        results = books.decide(operations)
        self._apply(books)
        return results

    def _apply(self, books: Books) -> None:
        changes = books.changes
        self.holds |= changes.holds
        for entry in changes.entries:
            assert entry.record.attempt_id not in self.entries, "an attempt was booked twice"
            self.entries[entry.record.attempt_id] = entry
        for name, nanos in changes.held_nanos.items():
            self.held[name] += nanos
        for key, nanos in changes.spent_nanos.items():
            self.spent[key] = self.spent.get(key, 0) + nanos
