"""Prices in SQL: the versions that the API adds."""

from collections.abc import Sequence

from sqlalchemy import Connection

from services.billing.pricing import Price
from services.billing.stores.sql import rows
from services.billing.stores.sql.database import Database
from services.billing.stores.sql.definitions import Definitions
from services.billing.stores.sql.statements import insert_into
from services.billing.stores.sql.tables import prices


class SqlPrices:
    def __init__(self, database: Database, definitions: Definitions) -> None:
        self._database = database
        self._definitions = definitions

    async def add_price(self, price: Price) -> None:
        def body(connection: Connection) -> None:
            row = rows.price_row(price, self._definitions.change(connection))
            connection.execute(insert_into(connection.dialect.name, prices).on_conflict_do_nothing(), row)

        await self._database.write(body, defines=True)

    async def prices(self) -> Sequence[Price]:
        await self._database.uncut(self._database.post(self._definitions.refresh, lasting=False))
        return self._definitions.price_book.all()
