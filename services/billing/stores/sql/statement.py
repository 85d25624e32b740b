"""Statements compiled once and run by the driver: SQLAlchemy's way there costs several times the work itself."""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

from sqlalchemy import Dialect, Select, UpdateBase


class Driver(Protocol):
    """A driver's connection within a transaction."""

    def query(self, sql: str, values: Sequence[Any]) -> Iterable[Sequence[Any]]:
        """The rows."""
        ...

    def run(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Once for each of `rows`, which has the statement's values."""
        ...


class Statement:
    """`names`: the parameters of an INSERT, which are its columns."""

    def __init__(
        self, dialect: Dialect, statement: Select[Any] | UpdateBase, names: Sequence[str] = ()
    ) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names) or None)
        self._sql = str(compiled)
        self._values = _values(compiled.positiontup or [])
        columns = statement.selected_columns.keys() if isinstance(statement, Select) else []
        self._make_row: Callable[[Sequence[Any]], Any] = _named(columns)

    def query(self, driver: Driver, values: Mapping[str, Any]) -> list[Any]:
        """The rows, with the columns' names."""
        return [self._make_row(row) for row in driver.query(self._sql, self._values(values))]

    def run(self, driver: Driver, rows: Sequence[Mapping[str, Any]]) -> None:
        """Once for each of `rows`."""
        if rows:
            driver.run(self._sql, [self._values(row) for row in rows])


def _named(columns: Sequence[str]) -> Any:
    return namedtuple("Row", columns)._make  # type: ignore[attr-defined] # noqa: PYI024 - names known here only


def _values(order: Sequence[str]) -> Any:
    if len(order) > 1:
        return itemgetter(*order)
    return lambda row: tuple(row[name] for name in order)
