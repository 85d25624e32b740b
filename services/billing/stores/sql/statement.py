"""Statements compiled once and run by the driver: SQLAlchemy's way there costs several times the work itself."""

from collections import namedtuple
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from sqlalchemy import Dialect, Insert, Select, UpdateBase


class Driver(Protocol):
    """A driver's connection within a transaction."""

    def query(self, sql: str, values: Sequence[Any]) -> Iterable[Sequence[Any]]:
        """The rows."""
        ...

    def run(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Once for each of `rows`, which has the statement's values."""
        ...


class Statement:
    """`parameters`: the names of its values, in the order in which they are given and stand in the SQL."""

    def __init__(
        self, dialect: Dialect, statement: Select[Any] | UpdateBase, parameters: Sequence[str] = ()
    ) -> None:
        columns = list(parameters) if isinstance(statement, Insert) else None
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        assert list(compiled.positiontup or []) == list(parameters), compiled.positiontup  # noqa: S101 - at start
        self._sql = str(compiled)

    def query(self, driver: Driver, *values: Any) -> Iterable[Sequence[Any]]:
        return driver.query(self._sql, values)

    def run(self, driver: Driver, rows: Sequence[Sequence[Any]]) -> None:
        """Once for each of `rows`."""
        if rows:
            driver.run(self._sql, rows)


def named(columns: Sequence[str], found: Iterable[Sequence[Any]]) -> Iterator[Any]:
    """The rows, with the columns' names."""
    row = namedtuple("Row", columns)  # type: ignore[misc] # noqa: PYI024 - names known here only
    return map(row._make, found)
