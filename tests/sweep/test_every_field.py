"""Each field that promises an effect has a row that says which test shows it, and each row a field."""

import ast
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

from tests.sweep.fields import fields_of_files, fields_of_requests, settings
from tests.sweep.rows_contracts import REQUESTS
from tests.sweep.rows_settings import FILES, SETTINGS

ROOT = Path(__file__).parents[2]
TABLES = {
    "tests/sweep/rows_contracts.py": (fields_of_requests, REQUESTS),
    "tests/sweep/rows_settings.py, SETTINGS": (settings, SETTINGS),
    "tests/sweep/rows_settings.py, FILES": (fields_of_files, FILES),
}


def row_of(field: str, rows: Mapping[str, str]) -> str | None:
    """The row of its own, or else that of its message, or else that of all below a name."""
    if field in rows:
        return field
    fitting = [row for row in rows if row.endswith("*") and fnmatchcase(field, row)]
    return max(fitting, key=len, default=None)


@pytest.mark.parametrize("table", TABLES)
def test_each_field_has_a_row(table: str) -> None:
    fields, rows = TABLES[table]
    missing = sorted(field for field in fields() if row_of(field, rows) is None)
    assert not missing, (
        f"{', '.join(missing)}: no row in {table}. Write a test that shows what the field does, or that it is refused with "
        "the reason, and name it there."
    )


@pytest.mark.parametrize("table", TABLES)
def test_each_row_has_a_field(table: str) -> None:
    fields, rows = TABLES[table]
    used = {row_of(field, rows) for field in fields()}
    assert not rows.keys() - used


@pytest.mark.parametrize("table", TABLES)
def test_each_row_names_a_test_that_is_there(table: str) -> None:
    absent = {
        row: test for row, test in TABLES[table][1].items() if test not in _tests_in(test.partition("::")[0])
    }
    assert not absent


@cache
def _tests_in(path: str) -> set[str]:
    file = ROOT / path
    if not file.exists():
        return set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {f"{path}::{each.name}" for each in functions if each.name.startswith("test_")}
