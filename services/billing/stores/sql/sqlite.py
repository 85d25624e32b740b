"""SQLite: one process, one writing connection in a thread of its own, readers beside it."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from services._runtime.private import FILE_MODE, make_folder, narrow, private_file
from services.billing.stores.sql.database import Database
from services.billing.stores.sql.sqlite_ledger import SqliteLedger
from services.billing.stores.sql.transaction import Run

_BUSY_TIMEOUT_SECONDS = 10
_READERS = 2


class StoreInUseError(Exception):
    """Another process has the SQLite file open."""


def open_sqlite(path: Path) -> Database:
    """:raises StoreInUseError: another process writes to this file."""
    make_folder(path.parent)
    lock_file = _lock(path.with_name(path.name + ".lock"))
    # Before SQLite opens them: it makes the files beside it as open as the database itself is.
    os.close(private_file(path, os.O_RDWR | os.O_CREAT))
    for suffix in ("-wal", "-shm"):
        narrow(path.with_name(path.name + suffix), FILE_MODE)
    # A transaction is some ten statements: an async driver would cross between threads twice for each of them.
    writing = ThreadPoolExecutor(1, thread_name_prefix="billing-write")
    reading = ThreadPoolExecutor(_READERS, thread_name_prefix="billing-read")
    writer = _engine(path, 1, "BEGIN IMMEDIATE", ("journal_mode=WAL", "synchronous=FULL"))
    reader = _engine(path, _READERS, "BEGIN", ("query_only=ON",))

    def release() -> None:
        writing.shutdown()
        reading.shutdown()
        os.close(lock_file)

    ledger = SqliteLedger(path, _in(writing), _BUSY_TIMEOUT_SECONDS)
    return Database(writer, reader, ledger, run_write=_in(writing), run_read=_in(reading), release=release)


def _in(threads: ThreadPoolExecutor) -> Run:
    def run(function: Callable[[], Any]) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(threads, function)

    return run


def _engine(path: Path, connections: int, begin: str, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=connections,
        max_overflow=0,
        connect_args={"timeout": _BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )

    # The driver's own transactions begin too late for a reader and unlocked for a writer, so they are turned off.
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _lock(path: Path) -> int:
    """Held until the process ends, however it ends."""
    descriptor = private_file(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreInUseError(f"{path.with_suffix('')} is in use by another process") from None
    return descriptor
