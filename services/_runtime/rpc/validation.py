"""Requests in: bytes to message, and the contract's protovalidate rules, as errors that name fields."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from services._runtime.errors import FieldViolation, InvalidFieldError, MessageTooLargeError

_validator = protovalidate.Validator()
_PIECE_SECONDS = 0.004
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


def validate(request: Message, path: str = "", *, all_violations: bool = True) -> None:
    """A message that stands at `path` of the request, or the request itself.

    :raises InvalidFieldError: with a violation for each rule broken, or for the first.
    """
    violations = _validator.collect_violations(request, fail_fast=not all_violations)
    if violations:
        raise invalid_fields([found for each in violations for found in _field_violations(each.proto, path)])


async def validate_in_pieces(request: Message) -> None:
    """As `validate`, for the first violation, with turns of the loop for others between the messages of long lists.

    Rules on a list as a whole see its first message: how long it may be is told apart, and no rule compares messages.
    """
    lists = [
        each.name for each, value in request.ListFields() if _is_list_of_messages(each) and len(value) > 1
    ]
    if not lists:
        validate(request, all_violations=False)
        return
    shell = type(request)()
    shell.CopyFrom(request)
    for name in lists:
        _check_length(request, name)
        del getattr(shell, name)[1:]
    validate(shell, all_violations=False)
    del shell
    loop = asyncio.get_running_loop()
    yield_at = loop.time() + _PIECE_SECONDS
    for name in lists:
        for place, message in enumerate(getattr(request, name)):
            validate(message, f"{name}[{place}]", all_violations=False)
            if loop.time() > yield_at:
                await asyncio.sleep(0)
                yield_at = loop.time() + _PIECE_SECONDS


def _check_length(request: Message, name: str) -> None:
    """By the rule of the field, which the shell can no longer break."""
    rules = request.DESCRIPTOR.fields_by_name[name].GetOptions().Extensions[validate_pb2.field].repeated
    length = len(getattr(request, name))
    if rules.HasField("max_items") and length > rules.max_items:
        raise invalid_fields([FieldViolation(name, f"must contain no more than {rules.max_items} item(s)")])


def _is_list_of_messages(each: FieldDescriptor) -> bool:
    return each.is_repeated and each.message_type is not None and not each.message_type.GetOptions().map_entry


def invalid_fields(violations: list[FieldViolation]) -> InvalidFieldError:
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    where = f"{first.field}: " if first.field else ""
    return InvalidFieldError(f"{where}{first.description}{more}", field_violations=violations)


def _field_violations(violation: Any, at: str) -> Iterator[FieldViolation]:
    """One, or for a rule about several fields one for each of them, so that a field is always named."""
    path, text = field_path(violation.field), violation.message or violation.rule_id
    path = f"{at}.{path}" if at and path else at or path
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
        # As JSON: what is wrong with a key may be a character that can't be seen.
        return f"[{json.dumps(subscript.value, ensure_ascii=False)}]"
    return f"[{str(subscript.value).lower()}]"
