"""What a commit writes on PostgreSQL: one statement for all kinds of rows."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import ARRAY, Column, Dialect, FromClause, bindparam, func, literal_column, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.dml import UpdateBase

from services.billing.stores.sql.statement import Driver, Statement
from services.billing.stores.sql.tables import budget_spending, budgets, holds, ledger, prices
from services.billing.stores.sql.writes import Rows


class OneWrite:
    """In one round trip: rows travel as an array for each column. A statement is built for each mix of kinds."""

    def __init__(self, dialect: Dialect) -> None:
        self._statement = cache(lambda present: _united(dialect, present))

    def run(self, driver: Driver, *kinds: Rows) -> None:
        present = tuple(place for place, rows in enumerate(kinds) if rows)
        if present:
            columns = chain.from_iterable(zip(*kinds[place], strict=True) for place in present)
            self._statement(present).query(driver, *columns)


def _united(dialect: Dialect, present: Sequence[int]) -> Statement:
    sources = {place: _unnested(f"new{place}", _COLUMNS[place]) for place in present}
    parts = [_MAKE[place](source).cte(f"write{place}") for place, source in sources.items()]
    parameters = [f"new{place}_{column.name}" for place in present for column in _COLUMNS[place]]
    return Statement(dialect, select(literal_column("1")).add_cte(*parts), parameters)


def _unnested(name: str, columns: Sequence[Column[Any]]) -> FromClause:
    arrays = [bindparam(f"{name}_{column.name}", type_=ARRAY(column.type)) for column in columns]
    values = func.unnest(*arrays).table_valued(*(column.name for column in columns), name=name)
    return values.render_derived()


def _inserted(statement: postgresql.Insert, source: FromClause) -> postgresql.Insert:
    return statement.from_select(source.c.keys(), select(source))


def _ended(new: FromClause) -> UpdateBase:
    return update(holds).where(holds.c.hold_id == new.c.hold_id).values(state=new.c.state)


def _held(new: FromClause) -> UpdateBase:
    changed = budgets.c.held_nanos + new.c.held_nanos
    return update(budgets).where(budgets.c.budget_id == new.c.budget_id).values(held_nanos=changed)


def _spent(new: FromClause) -> UpdateBase:
    statement = _inserted(postgresql.insert(budget_spending), new)
    return statement.on_conflict_do_update(
        index_elements=list(budget_spending.primary_key.columns),
        set_={"spent_nanos": budget_spending.c.spent_nanos + statement.excluded.spent_nanos},
    )


_COLUMNS: tuple[Sequence[Column[Any]], ...] = (
    list(prices.c),
    list(holds.c),
    [holds.c.state, holds.c.hold_id],
    list(ledger.c),
    [budgets.c.held_nanos, budgets.c.budget_id],
    list(budget_spending.c),
)
_MAKE: tuple[Callable[[FromClause], UpdateBase], ...] = (
    lambda new: _inserted(postgresql.insert(prices), new).on_conflict_do_nothing(),
    lambda new: _inserted(postgresql.insert(holds), new),
    _ended,
    lambda new: _inserted(postgresql.insert(ledger), new),
    _held,
    _spent,
)
