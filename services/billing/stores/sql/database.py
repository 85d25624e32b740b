"""Connections and transactions: one writer and many readers on SQLite, row locks and retries on PostgreSQL."""

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.billing.errors import StoreUnavailableError

_T = TypeVar("_T")
_ATTEMPTS = 8
_BUSY_TIMEOUT_SECONDS = 10
_CONNECT_TIMEOUT_SECONDS = 5
_STATEMENT_TIMEOUT_SECONDS = 30
_READERS = 4
# Any fixed number: what PostgreSQL's advisory locks of this database's writers are about.
_DEFINITIONS_LOCK = 0x6865_6164_6761_7465
# serialization_failure, deadlock_detected, unique_violation: another process came first, and a repeat sees its work.
_RETRIED_STATES = frozenset({"40001", "40P01", "23505"})


class StoreInUseError(Exception):
    """Another process has the SQLite file open."""


class Database:
    """Runs a body, a function of a Connection, in a transaction of its own."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine, lock_file: int | None = None) -> None:
        self._writer = writer
        self._reader = reader
        self._lock_file = lock_file
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Future[Any]] = set()
        self.is_postgresql = writer.dialect.name == "postgresql"

    async def write(self, body: Callable[[Connection], _T], *, defines: bool = False) -> _T:
        """What `body` returns once it is committed. It may run several times, so it keeps nothing but what it returns.

        With `defines` no other write, of any process, runs beside it: for budgets and prices, which the others rely on.

        :raises StoreUnavailableError: the database does not answer.
        """

        async def transaction() -> _T:
            async with self._writer.begin() as connection:
                if self.is_postgresql:
                    await connection.execute(_EXCLUSIVE if defines else _SHARED)
                return await connection.run_sync(body)

        async def in_turn() -> _T:
            async with self._writing:
                return await _repeated(transaction)

        # A caller that goes away must not cut a transaction in two.
        task = asyncio.ensure_future(in_turn())
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def read(self, body: Callable[[Connection], _T]) -> _T:
        """What `body` returns, of what is committed.

        :raises StoreUnavailableError: the database does not answer.
        """

        async def transaction() -> _T:
            async with self._reader.connect() as connection:
                return await connection.run_sync(body)

        return await _repeated(transaction)

    async def close(self) -> None:
        if self._writes:
            await asyncio.wait(self._writes)
        await self._reader.dispose()
        await self._writer.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None


async def _repeated(transaction: Callable[[], Awaitable[_T]]) -> _T:
    """Try again what lost a race or a connection; both leave nothing behind."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await transaction()
        except DBAPIError as error:
            if attempt < _ATTEMPTS and _may_be_repeated(error):
                continue
            raise _translated(error) from error
        except (OSError, PoolTimeoutError) as error:
            raise _translated(error) from error
    raise AssertionError("unreachable")


_SHARED = text(f"SELECT pg_advisory_xact_lock_shared({_DEFINITIONS_LOCK})")
_EXCLUSIVE = text(f"SELECT pg_advisory_xact_lock({_DEFINITIONS_LOCK})")


def open_sqlite(path: Path) -> Database:
    """:raises StoreInUseError: another process writes to this file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock_file = _lock(path.with_name(path.name + ".lock"))
    url = URL.create("sqlite+aiosqlite", database=str(path))
    arguments = {"timeout": _BUSY_TIMEOUT_SECONDS}
    writer = create_async_engine(url, pool_size=1, max_overflow=0, connect_args=arguments)
    reader = create_async_engine(url, pool_size=_READERS, max_overflow=0, connect_args=arguments)
    _prepare_sqlite(writer, "BEGIN IMMEDIATE", ("journal_mode=WAL", "synchronous=FULL"))
    _prepare_sqlite(reader, "BEGIN", ("query_only=ON",))
    return Database(writer, reader, lock_file)


def open_postgresql(url: URL, pool_size: int) -> Database:
    arguments = {
        "timeout": _CONNECT_TIMEOUT_SECONDS,
        "command_timeout": _STATEMENT_TIMEOUT_SECONDS,
        "server_settings": {"application_name": "headgate-billing"},
    }
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_CONNECT_TIMEOUT_SECONDS,
        pool_recycle=1800,
        connect_args=arguments,
        isolation_level="READ COMMITTED",
    )
    return Database(engine, engine)


def _prepare_sqlite(engine: AsyncEngine, begin: str, pragmas: tuple[str, ...]) -> None:
    # The driver's own transactions begin too late for a reader and unlocked for a writer, so they are turned off.
    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def _lock(path: Path) -> int:
    """Held until the process ends, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreInUseError(f"{path.with_suffix('')} is in use by another process") from None
    return descriptor


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
    return _state(error)[:2] in {"22", "23", "42", "P0"} or isinstance(
        error, (DataError, IntegrityError, ProgrammingError)
    )


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
