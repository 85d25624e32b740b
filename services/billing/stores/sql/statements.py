"""The statements of a commit: built once for each dialect, and the same for any number of rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Dialect,
    Table,
    Text,
    UpdateBase,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.billing.budgets import Period
from services.billing.stores.sql.statement import Statement
from services.billing.stores.sql.tables import budget_spending, budgets, holds, ledger, prices, revisions


@dataclass(frozen=True, slots=True)
class PostingStatements:
    """Each SELECT has the parameter `wanted`: ids, as `wanted()` writes them. Rows that will change are locked."""

    is_postgresql: bool
    read_revision: Statement
    read_budgets: Statement
    read_added_prices: Statement
    read_holds: Statement
    read_booked: Statement
    read_held: Statement
    read_spent: Statement
    keep_prices: Statement
    insert_holds: Statement
    end_hold: Statement
    insert_entries: Statement
    change_held: Statement
    add_spent: Statement

    def wanted(self, ids: Iterable[str]) -> Any:
        return list(ids) if self.is_postgresql else msgspec.json.encode(list(ids)).decode()


def posting_statements(connected: Dialect) -> PostingStatements:
    dialect = connected.name
    insert_spent = insert_into(dialect, budget_spending)
    booked = (ledger.c.attempt_id, ledger.c.digest, ledger.c.cost_nanos, ledger.c.price_id, ledger.c.unpriced)
    period_starts = or_(*(budget_spending.c.period_day == bindparam(period.name) for period in Period))
    return PostingStatements(
        is_postgresql=dialect == "postgresql",
        read_revision=Statement(connected, select(revisions.c.definitions)),
        read_budgets=Statement(connected, select(budgets)),
        read_added_prices=Statement(
            connected,
            select(prices).where(prices.c.source == bindparam("source")).order_by(prices.c.sequence),
        ),
        # SQLite ignores FOR UPDATE: its writer is alone.
        read_holds=Statement(
            connected,
            select(holds)
            .where(_is_wanted(dialect, holds.c.hold_id))
            .order_by(holds.c.hold_id)
            .with_for_update(),
        ),
        read_booked=Statement(connected, select(*booked).where(_is_wanted(dialect, ledger.c.attempt_id))),
        read_held=Statement(
            connected,
            select(budgets.c.budget_id, budgets.c.held_nanos)
            .where(_is_wanted(dialect, budgets.c.budget_id))
            .order_by(budgets.c.budget_id)
            .with_for_update(),
        ),
        read_spent=Statement(
            connected,
            select(budget_spending).where(_is_wanted(dialect, budget_spending.c.budget_id), period_starts),
        ),
        keep_prices=_insertion(connected, prices, insert_into(dialect, prices).on_conflict_do_nothing()),
        insert_holds=_insertion(connected, holds, insert(holds)),
        end_hold=Statement(
            connected,
            update(holds).where(holds.c.hold_id == bindparam("which")).values(state=bindparam("new_state")),
            (),
        ),
        insert_entries=_insertion(connected, ledger, insert(ledger)),
        change_held=Statement(
            connected,
            update(budgets)
            .where(budgets.c.budget_id == bindparam("which"))
            .values(held_nanos=budgets.c.held_nanos + bindparam("change")),
            (),
        ),
        add_spent=_insertion(
            connected,
            budget_spending,
            insert_spent.on_conflict_do_update(
                index_elements=[budget_spending.c.budget_id, budget_spending.c.period_day],
                set_={"spent_nanos": budget_spending.c.spent_nanos + insert_spent.excluded.spent_nanos},
            ),
        ),
    )


def _insertion(dialect: Dialect, table: Table, statement: UpdateBase) -> Statement:
    return Statement(dialect, statement, table.c.keys())


@cache
def insert_into(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say ON CONFLICT."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def _is_wanted(dialect: str, column: Column[str]) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return column == func.any(bindparam("wanted", type_=ARRAY(Text)))
    each = func.json_each(bindparam("wanted", type_=Text)).table_valued("value")
    return column.in_(select(each.c.value))
