"""The database that the settings name, open and at this release's schema."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from services._runtime.configuration.settings import SettingsError, SharedSettings
from services._runtime.private import private_folder
from services._runtime.process.apart import apart
from services._runtime.telemetry.logs import get_logger
from services.billing.errors import StoreUnavailableError
from services.billing.settings import PREFIX, BillingSettings
from services.billing.stores.sql.database import Database
from services.billing.stores.sql.schema import NewerSchemaError, is_current, migrate
from services.billing.stores.sql.sqlite import StoreInUseError, open_sqlite

_AGAIN_SECONDS = 0.25


async def ready_database(settings: BillingSettings, shared: SharedSettings) -> Database:
    """Open, and answering: one that is just starting is waited for.

    :raises SettingsError: it can't be opened, does not answer in time, or a later release has migrated it
    """
    with _told():
        database = _opened(settings, shared)
        if await _is_current_in_time(database, settings.start_wait_seconds):
            return database
        await database.close()
    # Alembic is needed once in a database's life, and has 11 MB.
    await asyncio.to_thread(apart, "services.billing.database:bring_up", settings, shared, saves="alembic")
    with _told():
        return _opened(settings, shared)


def bring_up(settings: BillingSettings, shared: SharedSettings) -> None:
    """Give the database this release's schema.

    :raises SettingsError: it can't be opened, or a later release has migrated it
    """

    async def brought_up() -> None:
        database = _opened(settings, shared)
        if not await _is_current_in_time(database, settings.start_wait_seconds):
            await migrate(database)
        await database.close()

    with _told():
        asyncio.run(brought_up())


async def _is_current_in_time(database: Database, wait_seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + wait_seconds
    while True:
        try:
            return await is_current(database)
        except StoreUnavailableError as error:
            if loop.time() >= ends_at:
                raise
            get_logger().info("waiting for the database", problem=error.message)
            await asyncio.sleep(_AGAIN_SECONDS)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (StoreInUseError, StoreUnavailableError, NewerSchemaError) as error:
        raise SettingsError([f"{PREFIX}STORE: {error}"]) from None


def _opened(settings: BillingSettings, shared: SharedSettings) -> Database:
    if settings.postgresql is not None:
        from services.billing.stores.sql.postgresql import open_postgresql  # noqa: PLC0415 - its driver has 5 MB

        return open_postgresql(settings.postgresql, settings.store_connections)
    path = settings.sqlite_path(shared.data_dir)
    if path.parent == shared.data_dir:
        private_folder(shared.data_dir)
    return open_sqlite(path)
