"""Migrations: an empty database comes to exactly the schema that the statements are written for."""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from services.billing.stores.sql.schema import HEAD, MIGRATIONS, NewerSchemaError, current_revision, migrate
from services.billing.stores.sql.tables import metadata
from tests.contract.billing.stores import OpenDatabase, Stores


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    return list(compare_metadata(context, metadata))


async def test_an_empty_database_is_migrated_to_the_metadata(stores: Stores) -> None:
    assert await stores.database.read(_differences) == []
    assert await stores.database.read(current_revision) == HEAD


async def test_migrating_again_changes_nothing(stores: Stores) -> None:
    await migrate(stores.database)
    assert await stores.database.read(current_revision) == HEAD


def test_the_head_that_the_service_asks_for_is_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_two_processes_that_start_at_once_migrate_once(open_database: OpenDatabase) -> None:
    database = open_database()
    try:
        await asyncio.gather(migrate(database), migrate(database))
        assert await database.read(_differences) == []
    finally:
        await database.close()


async def test_a_database_of_a_later_release_is_refused(stores: Stores) -> None:
    await stores.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    )
    with pytest.raises(NewerSchemaError):
        await migrate(stores.database)
