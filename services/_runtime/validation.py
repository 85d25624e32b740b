"""Requests in: bytes to message, and the contract's protovalidate rules, as errors that name fields."""

from collections.abc import Callable
from typing import Any

import protovalidate
from google.protobuf.message import DecodeError, Message

from services._runtime.errors import FieldViolation, InvalidFieldError

_validator = protovalidate.Validator()


def decode(deserialize: Callable[[bytes], Any], raw: bytes) -> Any:
    """:raises InvalidFieldError: the bytes are not such a message (a string that is not UTF-8, or garbage)."""
    try:
        return deserialize(raw)
    except DecodeError as error:
        raise InvalidFieldError(
            f"the {len(raw)} bytes sent are not a valid request message: {error}; strings must be UTF-8"
        ) from None


def validate(request: Message) -> None:
    """:raises InvalidFieldError: with a violation for each rule broken."""
    violations = _validator.collect_violations(request)
    if violations:
        raise invalid_fields([_field_violation(violation.proto) for violation in violations])


def invalid_fields(violations: list[FieldViolation]) -> InvalidFieldError:
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    where = f"{first.field}: " if first.field else ""
    return InvalidFieldError(f"{where}{first.description}{more}", field_violations=violations)


def _field_violation(violation: Any) -> FieldViolation:
    return FieldViolation(field_path(violation.field), violation.message or violation.rule_id)


def field_path(path: Any) -> str:
    """`messages[2].parts[0].text`, `labels["team"]`; empty for a rule on the whole message."""
    if path is None:
        return ""
    return ".".join(element.field_name + _subscript(element.subscript) for element in path.elements)


def _subscript(subscript: Any) -> str:
    if subscript is None:
        return ""
    if subscript.field == "string_key":
        return f'["{subscript.value}"]'
    return f"[{str(subscript.value).lower()}]"
