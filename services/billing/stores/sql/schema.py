"""Brings the database to this release's schema; forward only, and one process at a time."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from services.billing.stores.sql.database import Database

HEAD = "0001"
MIGRATIONS = Path(__file__).parents[2] / "migrations"
# Any fixed number, other than that of the writers' lock.
_MIGRATION_LOCK = 0x6865_6164_6D69_6772


class NewerSchemaError(Exception):
    """A later release has migrated the database already."""


async def is_current(database: Database) -> bool:
    return await database.read(current_revision) == HEAD


async def migrate(database: Database) -> None:
    """:raises NewerSchemaError: the schema is none that this release knows."""
    await database.write(migrate_connection)


def migrate_connection(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
    if current_revision(connection) != HEAD:
        _upgrade(connection)


def current_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise NewerSchemaError(f"the database is of another release of Headgate: {error}") from None
