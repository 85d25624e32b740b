"""Transactions, each a plain function of a Connection that runs whole, wherever its driver wants to run."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.billing.errors import StoreUnavailableError
from services.billing.stores.sql.transaction import Ledger, Run, Transaction

_T = TypeVar("_T")
_ATTEMPTS = 8
# Any fixed number: what PostgreSQL's advisory locks of this database's writers are about.
_DEFINITIONS_LOCK = 0x6865_6164_6761_7465
LOCK_SHARED = f"SELECT pg_advisory_xact_lock_shared({_DEFINITIONS_LOCK})"
_SHARED = text(LOCK_SHARED)
_EXCLUSIVE = text(f"SELECT pg_advisory_xact_lock({_DEFINITIONS_LOCK})")
# serialization_failure, deadlock_detected, unique_violation: another process came first, and a repeat sees its work.
_RETRIED_STATES = frozenset({"40001", "40P01", "23505"})


class Database:
    """One write at a time in this process, reads beside it. `release` gives back what the others do not."""

    def __init__(
        self,
        writer: Engine,
        reader: Engine,
        ledger: Ledger,
        *,
        run_write: Run,
        run_read: Run,
        release: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._ledger = ledger
        self._run_write = run_write
        self._run_read = run_read
        self._release = release
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Future[Any]] = set()
        self._locks_definitions = writer.dialect.name == "postgresql"

    async def write(self, body: Callable[[Connection], _T], *, defines: bool = False) -> _T:
        """What `body` returns once it is committed. It may run several times, so it keeps nothing but what it returns.

        With `defines` no other write, of any process, runs beside it: for budgets and prices, which the others rely on.

        :raises StoreUnavailableError: the database does not answer.
        """

        def transaction() -> _T:
            with self._writer.begin() as connection:
                if self._locks_definitions:
                    connection.execute(_EXCLUSIVE if defines else _SHARED)
                return body(connection)

        async def in_turn() -> _T:
            async with self._writing:
                return await _repeated(self._run_write, transaction)

        return await self.uncut(in_turn())

    async def uncut(self, work: Coroutine[Any, Any, _T]) -> _T:
        """What `work` returns: a caller that goes away does not cut it in two, and `close` waits for it."""
        task = asyncio.ensure_future(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def post(self, body: Callable[[Transaction], _T], *, lasting: bool) -> _T:
        """As `write`, on the ledger's own connection, and only where nobody cancels.

        Without `lasting` the commit may die with the database's machine, though not with a process; the next one with it
        makes both last.
        """
        async with self._writing:
            return await _repeated(
                self._ledger.run(lasting=lasting), partial(self._ledger.transact, body, lasting=lasting)
            )

    async def read(self, body: Callable[[Connection], _T]) -> _T:
        """What `body` returns, of what is committed.

        :raises StoreUnavailableError: the database does not answer.
        """

        def transaction() -> _T:
            with self._reader.connect() as connection:
                return body(connection)

        return await _repeated(self._run_read, transaction)

    async def close(self) -> None:
        if self._writes:
            await asyncio.wait(self._writes)
        await self._run_write(self._ledger.close)
        await self._run_read(self._reader.dispose)
        await self._run_write(self._writer.dispose)
        self._release()


async def _repeated(run: Run, transaction: Callable[[], _T]) -> _T:
    """Try again what lost a race or a connection; both leave nothing behind."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            result: _T = await run(transaction)
        except DBAPIError as error:
            if attempt < _ATTEMPTS and _may_be_repeated(error):
                continue
            raise _translated(error) from error
        except (OSError, PoolTimeoutError) as error:
            raise _translated(error) from error
        else:
            return result
    raise AssertionError("unreachable")


def _may_be_repeated(error: DBAPIError) -> bool:
    return error.connection_invalidated or _state(error) in _RETRIED_STATES


def _translated(error: Exception) -> Exception:
    """What time can heal is unavailable; a statement that can never succeed is a defect, and stays itself."""
    if isinstance(error, DBAPIError) and not error.connection_invalidated and _is_defect(error):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    return StoreUnavailableError(f"the database does not answer ({type(cause).__name__})")


def _is_defect(error: DBAPIError) -> bool:
    # Classes of SQLSTATE: 22 data, 23 integrity, 42 no such table or column, P0 a trigger's refusal. SQLite tells by
    # the kind of exception.
    # What asyncpg can't send is a ValueError.
    return (
        _state(error)[:2] in {"22", "23", "42", "P0"}
        or isinstance(error, (DataError, IntegrityError, ProgrammingError))
        or isinstance(error.orig, ValueError)
    )


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
