"""The ledger's transactions on PostgreSQL, by asyncpg itself."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import asyncpg as dialects
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from services.billing.stores.sql.database import LOCK_SHARED
from services.billing.stores.sql.statements import posting_statements
from services.billing.stores.sql.transaction import Run, Transaction

_T = TypeVar("_T")
_STATEMENTS = posting_statements(dialects.dialect())  # type: ignore[no-untyped-call]
# One round trip; a statement after the lock sees what its last holder committed.
_BEGIN_LASTING = f"BEGIN; {LOCK_SHARED}"
_BEGIN_PASSING = f"BEGIN; SET LOCAL synchronous_commit = off; {LOCK_SHARED}"


class PostgresqlLedger:
    """On the connections of `engine`. `run` calls in a greenlet."""

    def __init__(self, engine: Engine, run: Run) -> None:
        self._engine = engine
        self._run = run

    def run(self, *, lasting: bool) -> Run:  # noqa: ARG002 - either way the loop goes on
        return self._run

    def transact(self, body: Callable[[Transaction], _T], *, lasting: bool) -> _T:
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        try:
            return _transacted(connection, body, _BEGIN_LASTING if lasting else _BEGIN_PASSING)
        except asyncpg.PostgresError as error:
            lost = connection.is_closed()
            raise DBAPIError(None, None, error, connection_invalidated=lost) from error
        except (asyncpg.InterfaceError, OSError) as error:
            raise DBAPIError(None, None, error, connection_invalidated=True) from error
        finally:
            if connection.is_closed() or connection.is_in_transaction():
                pooled.invalidate()
            pooled.close()

    def close(self) -> None:
        """Its connections are the engine's."""


class _AsyncpgTransaction:
    statements = _STATEMENTS

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def query(self, sql: str, values: Sequence[Any]) -> Iterable[Sequence[Any]]:
        found: Sequence[Sequence[Any]] = await_only(self._connection.fetch(sql, *values))
        return found

    def run(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        await_only(self._connection.executemany(sql, rows))


def _transacted(connection: Any, body: Callable[[Transaction], _T], begin: str) -> _T:
    await_only(connection.execute(begin))
    try:
        result = body(_AsyncpgTransaction(connection))
        await_only(connection.execute("COMMIT"))
    except asyncpg.PostgresError:
        if not connection.is_closed():
            await_only(connection.execute("ROLLBACK"))
        raise
    return result
