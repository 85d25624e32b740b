"""Requests that are nothing but the smallest items that one of their fields can hold, for every field of every RPC."""

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor

DEPTH = 4
_DELIMITED = 2
_TEXTS = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}


@dataclass(frozen=True, slots=True)
class Bomb:
    """`raw` is the request's whole wire form; `field` what it is full of."""

    method: str
    field: str
    raw: bytes


def bombs(service: ServiceDescriptor, size: int) -> Iterator[Bomb]:
    """One for each field of each request that is not streamed."""
    for method in service.methods:
        if not method.client_streaming:
            for path, raw in _full(method.input_type, size, DEPTH):
                yield Bomb(f"/{service.full_name}/{method.name}", path, raw)


def _full(message: Descriptor, size: int, depth: int) -> Iterator[tuple[str, bytes]]:
    for field in message.fields:
        if field.message_type is not None:
            yield field.name, _repeated(_key(field) + b"\0", size)
            if depth and not field.message_type.GetOptions().map_entry:
                for path, inner in _full(field.message_type, size, depth - 1):
                    yield f"{field.name}.{path}", _wrapped(field, inner)
        elif field.type in _TEXTS:
            yield field.name, _wrapped(field, b"x" * size)
            if field.is_repeated:
                yield f"{field.name}[]", _repeated(_key(field) + b"\0", size)
        elif field.is_repeated:
            yield field.name, _wrapped(field, b"\1" * size)


def _repeated(item: bytes, size: int) -> bytes:
    return item * (size // len(item))


def _wrapped(field: FieldDescriptor, content: bytes) -> bytes:
    return _key(field) + _varint(len(content)) + content


def _key(field: FieldDescriptor) -> bytes:
    return _varint(field.number << 3 | _DELIMITED)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
