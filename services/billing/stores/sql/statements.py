"""The statements of a commit: built once for each dialect, and the same for any number of rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Dialect,
    Table,
    Text,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.dialects import sqlite

from services.billing.budgets import Period
from services.billing.stores.sql.statement import Statement
from services.billing.stores.sql.tables import budget_spending, budgets, holds, ledger, prices, revisions
from services.billing.stores.sql.writes import Writes

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


@dataclass(frozen=True, slots=True)
class PostingStatements:
    """`wanted` of a SELECT are ids, as `wanted()` writes them. Rows that will change are locked.

    `read_holds` has the revision of the definitions before the hold's columns, and all of these null where there is none.
    """

    is_postgresql: bool
    read_revision: Statement
    read_budgets: Statement
    read_added_prices: Statement
    read_holds: Statement
    read_booked: Statement
    read_held: Statement
    read_spent: Statement
    writes: Writes

    def wanted(self, ids: Iterable[str]) -> Any:
        return list(ids) if self.is_postgresql else msgspec.json.encode(list(ids)).decode()


def posting_statements(connected: Dialect, writes: Writes) -> PostingStatements:
    dialect = connected.name
    booked = (ledger.c.attempt_id, ledger.c.digest, ledger.c.cost_nanos, ledger.c.price_id, ledger.c.unpriced)
    starts: list[ColumnElement[int]] = [bindparam(period.name) for period in Period]
    # SQLite ignores FOR UPDATE: its writer is alone.
    wanted_holds = (
        select(holds)
        .where(_is_wanted(dialect, holds.c.hold_id))
        .order_by(holds.c.hold_id)
        .with_for_update()
        .cte("wanted_holds")
    )
    return PostingStatements(
        is_postgresql=dialect == "postgresql",
        read_revision=Statement(connected, select(revisions.c.definitions)),
        read_budgets=Statement(connected, select(budgets)),
        read_added_prices=Statement(
            connected,
            select(prices).where(prices.c.source == bindparam("source")).order_by(prices.c.sequence),
            ["source"],
        ),
        read_holds=Statement(
            connected,
            select(revisions.c.definitions, wanted_holds).select_from(
                revisions.outerjoin(wanted_holds, true())
            ),
            ["wanted"],
        ),
        read_booked=Statement(
            connected, select(*booked).where(_is_wanted(dialect, ledger.c.attempt_id)), ["wanted"]
        ),
        read_held=Statement(
            connected,
            select(budgets.c.budget_id, budgets.c.held_nanos)
            .where(_is_wanted(dialect, budgets.c.budget_id))
            .order_by(budgets.c.budget_id)
            .with_for_update(),
            ["wanted"],
        ),
        read_spent=Statement(
            connected,
            select(budget_spending).where(
                _is_wanted(dialect, budget_spending.c.budget_id), budget_spending.c.period_day.in_(starts)
            ),
            ["wanted", *(period.name for period in Period)],
        ),
        writes=writes,
    )


@cache
def insert_into(dialect: str, table: Table) -> "postgresql.Insert | sqlite.Insert":
    """An INSERT that can say ON CONFLICT."""
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - 2 MB that SQLite saves

    return postgresql.insert(table)


def _is_wanted(dialect: str, column: Column[str]) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return column == func.any(bindparam("wanted", type_=ARRAY(Text)))
    each = func.json_each(bindparam("wanted", type_=Text)).table_valued("value")
    return column.in_(select(each.c.value))
