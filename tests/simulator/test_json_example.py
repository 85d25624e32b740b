"""Answers that are JSON satisfy the schema that they were asked for with."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.json_example import JsonExample, SchemaError

TREE: dict[str, Any] = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "parent": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "parent", "children"],
            "additionalProperties": False,
        },
    },
    "$ref": "#/$defs/node",
}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object"},
    {"type": "object", "required": ["free"]},
    {"properties": {"a": {"const": 3}, "b": {"enum": ["x", "y"]}}, "required": ["a", "b"]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "maxItems": 3},
    {"type": "array", "maxItems": 0},
    {
        "type": "array",
        "prefixItems": [{"type": "null"}, {"type": "integer"}],
        "items": {"type": "string"},
        "minItems": 4,
    },
    {"type": ["null", "integer"], "minimum": 5, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "multipleOf": 7, "minimum": 8},
    {"type": "integer", "maximum": -3},
    {"type": "number", "minimum": 0.1, "maximum": 0.2},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "string", "minLength": 200},
    {"type": "string", "maxLength": 2},
    {"type": "string", "format": "uuid"},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"required": ["b"]},
        ]
    },
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    TREE,
]


@pytest.mark.parametrize("schema", SCHEMAS)
@given(seed=st.integers(0, 2**32))
def test_an_example_satisfies_its_schema(schema: dict[str, Any], seed: int) -> None:
    jsonschema.validate(JsonExample(schema, seed).value(), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"enum": []},
        {"type": "object", "properties": [1]},
        {"type": "object", "properties": {"a": 3}},
        {"type": "integer", "minimum": "x"},
        {"type": "integer", "multipleOf": 0},
        {"anyOf": 3},
        {"type": "string", "minLength": 10**12},
        {"type": "array", "minItems": 10**12},
    ],
)
def test_a_schema_that_makes_no_sense_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        JsonExample(schema, 0).value()


def test_an_example_is_the_same_for_the_same_seed() -> None:
    assert JsonExample(TREE, 1).value() == JsonExample(TREE, 1).value()
    assert JsonExample(TREE, 1).value() != JsonExample(TREE, 2).value()
