"""Budgets and added prices in memory, as of a revision of the database."""

from sqlalchemy import Connection, select, update

from services.billing.balances import Balances
from services.billing.books import Changes
from services.billing.budgets import BudgetIndex
from services.billing.prices import PriceBook
from services.billing.pricing import Source
from services.billing.stores.sql import rows
from services.billing.stores.sql.statement import named
from services.billing.stores.sql.tables import budgets, prices, revisions
from services.billing.stores.sql.transaction import Transaction

_UNREAD = -1
_read_revision = select(revisions.c.definitions)
_raise_revision = update(revisions).values(definitions=revisions.c.definitions + 1)


class Definitions:
    """Every write begins with `refresh` or `bring_to` under the lock that those who define take alone, so it sees the current ones."""

    def __init__(self, price_book: PriceBook) -> None:
        self.price_book = price_book
        self.budgets = BudgetIndex()
        # Prices known to be in the database already.
        self.kept_prices: set[str] = set()
        self.balances = Balances()
        self._revision = _UNREAD

    def refresh(self, transaction: Transaction) -> None:
        ((revision,),) = transaction.statements.read_revision.query(transaction)
        self.bring_to(revision, transaction)

    def bring_to(self, revision: int, transaction: Transaction) -> None:
        """`revision` is the current one."""
        if revision != self._revision:
            statements = transaction.statements
            found = named(budgets.c.keys(), statements.read_budgets.query(transaction))
            self.budgets = BudgetIndex(map(rows.budget_of, found))
            self.balances.forget()
            added = statements.read_added_prices.query(transaction, int(Source.API))
            self.price_book.replace_added(map(rows.price_of, named(prices.c.keys(), added)))
            self._revision = revision

    def committed(self, changes: Changes) -> None:
        """A transaction of the ledger: its prices need not be written again, and its balances are known."""
        self.kept_prices |= changes.prices.keys()
        self.balances.apply(changes)

    def change(self, connection: Connection) -> int:
        """Within a write that defines: have every process, and this one, read anew. The new revision."""
        self._revision = _UNREAD
        connection.execute(_raise_revision)
        revision: int = connection.execute(_read_revision).scalar_one()
        return revision
