"""The ledger's transactions on PostgreSQL, by asyncpg itself."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import asyncpg as dialects
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from services.billing.stores.sql.database import LOCK_SHARED
from services.billing.stores.sql.postgresql_writes import OneWrite
from services.billing.stores.sql.statements import posting_statements
from services.billing.stores.sql.transaction import Run, Transaction

_T = TypeVar("_T")
_DIALECT = dialects.dialect()  # type: ignore[no-untyped-call]
_STATEMENTS = posting_statements(_DIALECT, OneWrite(_DIALECT))
# Every statement here finds its rows by their keys. Planned once, it must not scan a table that was small at the time.
_PLANS = "; ".join(
    f"SET LOCAL {setting}"
    for setting in (
        "plan_cache_mode = force_generic_plan",
        "enable_seqscan = off",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
        # A scan that can't be avoided is now priced as if it were worth compiling.
        "jit = off",
    )
)
# One round trip; a statement after the lock sees what its last holder committed.
_BEGIN_LASTING = f"BEGIN; {_PLANS}; {LOCK_SHARED}"
_BEGIN_PASSING = f"{_BEGIN_LASTING}; SET LOCAL synchronous_commit = off"


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
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise DBAPIError(None, None, error, connection_invalidated=connection.is_closed()) from error
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
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        if not connection.is_closed():
            await_only(connection.execute("ROLLBACK"))
        raise
    return result
