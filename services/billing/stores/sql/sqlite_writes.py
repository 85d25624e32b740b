"""What a commit writes on SQLite: a statement for each kind of row."""

from sqlalchemy import Dialect, bindparam, insert, update
from sqlalchemy.dialects import sqlite

from services.billing.stores.sql.statement import Driver, Statement
from services.billing.stores.sql.tables import budget_spending, budgets, holds, ledger, prices
from services.billing.stores.sql.writes import Rows


class EachWrite:
    """Kind by kind."""

    def __init__(self, dialect: Dialect) -> None:
        add_spent = sqlite.insert(budget_spending)
        self._statements = (
            Statement(dialect, sqlite.insert(prices).on_conflict_do_nothing(), prices.c.keys()),
            Statement(dialect, insert(holds), holds.c.keys()),
            Statement(
                dialect,
                update(holds).where(holds.c.hold_id == bindparam("which")).values(state=bindparam("new")),
                ["new", "which"],
            ),
            Statement(dialect, insert(ledger), ledger.c.keys()),
            Statement(
                dialect,
                update(budgets)
                .where(budgets.c.budget_id == bindparam("which"))
                .values(held_nanos=budgets.c.held_nanos + bindparam("change")),
                ["change", "which"],
            ),
            Statement(
                dialect,
                add_spent.on_conflict_do_update(
                    index_elements=list(budget_spending.primary_key.columns),
                    set_={"spent_nanos": budget_spending.c.spent_nanos + add_spent.excluded.spent_nanos},
                ),
                budget_spending.c.keys(),
            ),
        )

    def run(self, driver: Driver, *kinds: Rows) -> None:
        for statement, rows in zip(self._statements, kinds, strict=True):
            statement.run(driver, rows)
