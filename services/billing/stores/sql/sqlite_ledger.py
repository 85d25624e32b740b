"""The ledger's transactions on SQLite: one connection of sqlite3 itself."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from services.billing.stores.sql.sqlite_writes import EachWrite
from services.billing.stores.sql.statements import posting_statements
from services.billing.stores.sql.transaction import Run, Transaction

_T = TypeVar("_T")
_DIALECT = sqlite.dialect(paramstyle="qmark")
_STATEMENTS = posting_statements(_DIALECT, EachWrite(_DIALECT))
# In WAL mode NORMAL leaves a commit to the operating system, and FULL waits until it and all before it are on disk.
_LASTING = "PRAGMA synchronous=FULL"
_PASSING = "PRAGMA synchronous=NORMAL"


class SqliteLedger:
    """Opened when it is first needed. `run` calls in the thread of the writes, and waits for it."""

    def __init__(self, path: Path, run: Run, busy_timeout_seconds: float) -> None:
        self._path = path
        self._run = run
        self._busy_timeout_seconds = busy_timeout_seconds
        self._connection: sqlite3.Connection | None = None

    def run(self, *, lasting: bool) -> Run:
        # What need not wait for the disk is done before another thread would have begun.
        return self._run if lasting else _here

    def transact(self, body: Callable[[Transaction], _T], *, lasting: bool) -> _T:
        try:
            connection = self._connection = self._connection or self._opened()
            connection.execute(_LASTING if lasting else _PASSING)
            return _transacted(connection, body)
        except sqlite3.Error as error:
            raise DBAPIError.instance(None, None, error, sqlite3.Error) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _opened(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path, timeout=self._busy_timeout_seconds, isolation_level=None, check_same_thread=False
        )


class _SqliteTransaction:
    statements = _STATEMENTS

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def query(self, sql: str, values: Sequence[Any]) -> Iterable[Sequence[Any]]:
        return self._connection.execute(sql, values)

    def run(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.executemany(sql, rows)


def _transacted(connection: sqlite3.Connection, body: Callable[[Transaction], _T]) -> _T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = body(_SqliteTransaction(connection))
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    return result


async def _here(function: Callable[[], Any]) -> Any:
    return function()
