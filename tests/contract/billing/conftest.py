"""One suite for SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from services.billing.stores.sql.postgresql import open_postgresql
from services.billing.stores.sql.sqlite import open_sqlite
from tests.contract.billing.stores import OpenDatabase, Stores, opened


@pytest.fixture(params=["sqlite", "postgresql"])
def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> OpenDatabase:
    if request.param == "sqlite":
        return lambda: open_sqlite(tmp_path / "billing.db")
    url = make_url(request.getfixturevalue("postgres_url"))
    return lambda: open_postgresql(url, 5)


@pytest.fixture
async def stores(open_database: OpenDatabase) -> AsyncIterator[Stores]:
    async with opened(open_database) as running:
        yield running
