"""Requests in: bytes to message, and the contract's protovalidate rules, as errors that name fields."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import protovalidate
from google.protobuf.message import DecodeError, Message

from services._runtime.errors import FieldViolation, InvalidFieldError, MessageTooLargeError

_validator = protovalidate.Validator()
# A violation of protovalidate's `oneof` names its fields only in words.
_AMONG = re.compile(r"(?:only )?one of (.+) (?:must|can) be set")


def decode(deserialize: Callable[[bytes], Any], raw: bytes, max_bytes: int) -> Any:
    """:raises InvalidFieldError: not such a message (a string that is not UTF-8, or garbage), or one too large."""
    try:
        request = deserialize(raw)
    except DecodeError as error:
        raise InvalidFieldError(
            f"the {len(raw)} bytes sent are not a valid request message: {error}; strings must be UTF-8"
        ) from None
    if len(raw) > max_bytes:
        raise _too_large(request, len(raw), max_bytes)
    return request


def encode(serialize: Callable[[Any], bytes], response: Any, max_bytes: int) -> bytes:
    """:raises MessageTooLargeError: no client takes such a response."""
    encoded = serialize(response)
    if len(encoded) > max_bytes:
        raise MessageTooLargeError(f"the response has {len(encoded)} bytes, at most {max_bytes} are sent")
    return encoded


def _too_large(request: Any, size: int, max_bytes: int) -> InvalidFieldError:
    where, share = largest_field(request) if isinstance(request, Message) else ("", size)
    text = f"the request has {size} bytes, at most {max_bytes} are taken"
    if where:
        text += f"; {where} alone has {share}"
    return InvalidFieldError(text, field_violations=[FieldViolation(where, text)])


def largest_field(message: Message) -> tuple[str, int]:
    """The path of the field that makes a message large, down to where one field no longer has most of it."""
    sizes = [found for field, value in message.ListFields() for found in _sizes(field.name, value)]
    if not sizes:
        return "", message.ByteSize()
    path, value, size = max(sizes, key=lambda found: found[2])
    if isinstance(value, Message):
        inner, inner_size = largest_field(value)
        if inner and inner_size * 2 > size:
            return f"{path}.{inner}", inner_size
    return path, size


def _sizes(name: str, value: Any) -> Iterator[tuple[str, Any, int]]:
    if isinstance(value, Message):
        yield name, value, value.ByteSize()
    elif isinstance(value, str):
        yield name, value, len(value.encode())
    elif isinstance(value, bytes):
        yield name, value, len(value)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _sizes(f'{name}["{key}"]' if isinstance(key, str) else f"{name}[{key}]", entry)
    elif isinstance(value, Sequence):
        for index, entry in enumerate(value):
            yield from _sizes(f"{name}[{index}]", entry)


def validate(request: Message) -> None:
    """:raises InvalidFieldError: with a violation for each rule broken."""
    violations = _validator.collect_violations(request)
    if violations:
        raise invalid_fields([found for each in violations for found in _field_violations(each.proto)])


def invalid_fields(violations: list[FieldViolation]) -> InvalidFieldError:
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    where = f"{first.field}: " if first.field else ""
    return InvalidFieldError(f"{where}{first.description}{more}", field_violations=violations)


def _field_violations(violation: Any) -> Iterator[FieldViolation]:
    """One, or for a rule about several fields one for each of them, so that a field is always named."""
    path, text = field_path(violation.field), violation.message or violation.rule_id
    among = _AMONG.fullmatch(text) if violation.rule_id == "message.oneof" else None
    if among is None:
        yield FieldViolation(path, text)
        return
    for name in among[1].split(", "):
        yield FieldViolation(f"{path}.{name}" if path else name, text)


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
