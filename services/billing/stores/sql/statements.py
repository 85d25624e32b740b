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
    Executable,
    Table,
    Text,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.billing.budgets import Period
from services.billing.stores.sql.tables import budget_spending, budgets, holds, ledger, prices


@dataclass(frozen=True, slots=True)
class PostingStatements:
    """Each SELECT has the parameter `wanted`: ids, as `wanted()` writes them. Rows that will change are locked."""

    is_postgresql: bool
    read_holds: Executable
    read_booked: Executable
    read_held: Executable
    read_spent: Executable
    keep_prices: Executable
    insert_holds: Executable
    end_hold: Executable
    insert_entries: Executable
    change_held: Executable
    add_spent: Executable

    def wanted(self, ids: Iterable[str]) -> Any:
        return list(ids) if self.is_postgresql else msgspec.json.encode(list(ids)).decode()


@cache
def posting_statements(dialect: str) -> PostingStatements:
    insert_spent = insert_into(dialect, budget_spending)
    booked = (ledger.c.attempt_id, ledger.c.digest, ledger.c.cost_nanos, ledger.c.price_id, ledger.c.unpriced)
    period_starts = or_(*(budget_spending.c.period_day == bindparam(period.name) for period in Period))
    return PostingStatements(
        is_postgresql=dialect == "postgresql",
        # SQLite ignores FOR UPDATE: its writer is alone.
        read_holds=select(holds)
        .where(_is_wanted(dialect, holds.c.hold_id))
        .order_by(holds.c.hold_id)
        .with_for_update(),
        read_booked=select(*booked).where(_is_wanted(dialect, ledger.c.attempt_id)),
        read_held=select(budgets.c.budget_id, budgets.c.held_nanos)
        .where(_is_wanted(dialect, budgets.c.budget_id))
        .order_by(budgets.c.budget_id)
        .with_for_update(),
        read_spent=select(budget_spending).where(
            _is_wanted(dialect, budget_spending.c.budget_id), period_starts
        ),
        keep_prices=insert_into(dialect, prices).on_conflict_do_nothing(),
        insert_holds=insert(holds),
        end_hold=update(holds)
        .where(holds.c.hold_id == bindparam("which"))
        .values(state=bindparam("new_state")),
        insert_entries=insert(ledger),
        change_held=update(budgets)
        .where(budgets.c.budget_id == bindparam("which"))
        .values(held_nanos=budgets.c.held_nanos + bindparam("change")),
        add_spent=insert_spent.on_conflict_do_update(
            index_elements=[budget_spending.c.budget_id, budget_spending.c.period_day],
            set_={"spent_nanos": budget_spending.c.spent_nanos + insert_spent.excluded.spent_nanos},
        ),
    )


@cache
def insert_into(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say ON CONFLICT."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def _is_wanted(dialect: str, column: Column[str]) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return column == func.any(bindparam("wanted", type_=ARRAY(Text)))
    each = func.json_each(bindparam("wanted", type_=Text)).table_valued("value")
    return column.in_(select(each.c.value))
