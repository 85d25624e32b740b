"""A JSON value that satisfies a schema: the words come from a seed, the shape from the schema."""

from random import Random
from typing import Any

from simulator.text import write_words

_DEEPEST = 6
_LARGEST = 10_000
_FORMATS = {
    "date": "2024-05-17",
    "date-time": "2024-05-17T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "P1D",
    "email": "amber@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "6f1c2a8e-5d0b-4c5e-9d3a-2b7f0c1e4a55",
}

Schema = dict[str, Any]


class SchemaError(ValueError):
    """A schema that no example can be made for."""


class JsonExample:
    """Knows references within the document, const, enum, unions, and the limits of each type; not `pattern`."""

    def __init__(self, document: Schema, seed: int) -> None:
        self._document = document
        self._random = Random(seed)

    def value(self) -> Any:
        """:raises SchemaError: when the document is no schema, or refers to itself without end"""
        try:
            return self._value(self._document, 0)
        except (LookupError, AttributeError, TypeError, ArithmeticError, RecursionError) as error:
            raise SchemaError(f"the schema makes no sense ({error})") from error

    def _value(self, schema: Schema | bool, depth: int) -> Any:  # noqa: PLR0911 (one line per form)
        if isinstance(schema, bool):
            return self._words(3)
        if "$ref" in schema:
            return self._value(self._resolve(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return self._value(self._variant(schema[union], depth), depth + 1)
        if schema.get("allOf"):
            return self._value(self._merged(schema), depth)
        return self._typed(schema, depth)

    def _typed(self, schema: Schema, depth: int) -> Any:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number" as kind:
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._random.random() < 0.5  # noqa: PLR2004 (a coin)
            case _:
                return None

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: Schema = schema.get("properties", {})
        required = schema.get("required", [])
        names = properties if depth < _DEEPEST else required
        found = {name: self._value(properties.get(name, True), depth + 1) for name in names}
        return found | {name: self._words(2) for name in required if name not in found}

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        first = schema.get("prefixItems", [])
        least = schema.get("minItems", 0)
        wanted = max(len(first), least, 1 if depth < _DEEPEST and schema.get("maxItems", 1) else 0)
        _check_size(wanted)
        kinds = [*first, *[schema.get("items", True)] * (wanted - len(first))]
        return [self._value(kind, depth + 1) for kind in kinds]

    def _string(self, schema: Schema) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        _check_size(schema.get("minLength", 0))
        text = self._words(3).ljust(schema.get("minLength", 0), "-")
        return text[: schema.get("maxLength", len(text))]

    def _number(self, schema: Schema, *, whole: bool) -> int | float:
        step = schema.get("multipleOf", 1 if whole else 0.5)
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        if low is None:
            low = 0 if high is None or high > 0 else high - 100 * step
        number = -(-low // step) * step
        if "exclusiveMinimum" in schema and number <= schema["exclusiveMinimum"]:
            number += step
        if high is not None and number > high:
            number = (low + high) / 2
        return int(number) if whole else number

    def _words(self, count: int) -> str:
        return "".join(write_words(self._random.getrandbits(32), count))

    def _variant(self, variants: list[Schema], depth: int) -> Schema:
        if depth >= _DEEPEST:
            return next((each for each in variants if each.get("type") == "null"), variants[0])
        return variants[0]

    def _merged(self, schema: Schema) -> Schema:
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            full = self._resolve(part["$ref"]) if "$ref" in part else part
            properties = merged.get("properties", {}) | full.get("properties", {})
            required = [*merged.get("required", []), *full.get("required", [])]
            merged = full | merged | {"properties": properties, "required": required}
        return merged

    def _resolve(self, reference: str) -> Schema:
        found: Any = self._document
        for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
            found = found[step.replace("~1", "/").replace("~0", "~")]
        return found  # type: ignore[no-any-return]


def _check_size(size: int) -> None:
    if size > _LARGEST:
        raise SchemaError(f"a length of {size} is more than {_LARGEST}")


def _type_of(schema: Schema) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((each for each in kind if each != "null"), "null")
    if kind is None:
        return "object" if "properties" in schema else "string"
    return str(kind)
