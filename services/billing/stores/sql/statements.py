"""Statements whose text does not depend on how many rows they are about, so that each is compiled once."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import ARRAY, Column, ColumnElement, Connection, Table, Text, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite


def any_of(
    connection: Connection, column: Column[str], values: Iterable[str]
) -> tuple[ColumnElement[bool], Any]:
    """A condition with one parameter, `wanted`, and that parameter's value."""
    if connection.dialect.name == "postgresql":
        return column == func.any(bindparam("wanted", type_=ARRAY(Text))), list(values)
    each = func.json_each(bindparam("wanted", type_=Text)).table_valued("value")
    return column.in_(select(each.c.value)), msgspec.json.encode(list(values)).decode()


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say ON CONFLICT."""
    return _insert(connection.dialect.name, table)


@cache
def _insert(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
