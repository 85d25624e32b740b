"""PostgreSQL, for any number of processes."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import URL, create_engine
from sqlalchemy.util import greenlet_spawn

from services.billing.stores.sql.database import Database
from services.billing.stores.sql.postgresql_ledger import PostgresqlLedger

_CONNECT_TIMEOUT_SECONDS = 5
_STATEMENT_TIMEOUT_SECONDS = 30
_RECYCLE_SECONDS = 1800


def open_postgresql(url: URL, connections: int) -> Database:
    engine = create_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_CONNECT_TIMEOUT_SECONDS,
        pool_recycle=_RECYCLE_SECONDS,
        connect_args={
            "timeout": _CONNECT_TIMEOUT_SECONDS,
            "command_timeout": _STATEMENT_TIMEOUT_SECONDS,
            "server_settings": {"application_name": "headgate-billing"},
        },
        isolation_level="READ COMMITTED",
    )
    ledger = PostgresqlLedger(engine, _in_greenlet)
    return Database(
        engine, engine, ledger, run_write=_in_greenlet, run_read=_in_greenlet, release=lambda: None
    )


def _in_greenlet(function: Callable[[], Any]) -> Awaitable[Any]:
    # What AsyncEngine does for each statement, once for the transaction, and without the ORM that it brings along.
    return greenlet_spawn(function)
