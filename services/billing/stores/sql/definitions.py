"""Budgets and added prices in memory, as of a revision of the database."""

from sqlalchemy import Connection, select, update

from services.billing.budgets import BudgetIndex
from services.billing.prices import PriceBook
from services.billing.pricing import Source
from services.billing.stores.sql import rows
from services.billing.stores.sql.tables import revisions
from services.billing.stores.sql.transaction import Transaction

_UNREAD = -1
_read_revision = select(revisions.c.definitions)
_raise_revision = update(revisions).values(definitions=revisions.c.definitions + 1)


class Definitions:
    """Every write begins with `refresh` under the lock that those who define take alone, so it sees the current ones."""

    def __init__(self, price_book: PriceBook) -> None:
        self.price_book = price_book
        self.budgets = BudgetIndex()
        # Prices known to be in the database already.
        self.kept_prices: set[str] = set()
        self._revision = _UNREAD

    def refresh(self, transaction: Transaction) -> None:
        statements = transaction.statements
        # SQLite has no other writer than this process, which calls `change`.
        if self._revision != _UNREAD and not statements.is_postgresql:
            return
        ((revision,),) = statements.read_revision.query(transaction, {})
        if revision != self._revision:
            self.budgets = BudgetIndex(map(rows.budget_of, statements.read_budgets.query(transaction, {})))
            added = statements.read_added_prices.query(transaction, {"source": int(Source.API)})
            self.price_book.replace_added(map(rows.price_of, added))
            self._revision = revision

    def change(self, connection: Connection) -> int:
        """Within a write that defines: have every process, and this one, read anew. The new revision."""
        self._revision = _UNREAD
        connection.execute(_raise_revision)
        revision: int = connection.execute(_read_revision).scalar_one()
        return revision
