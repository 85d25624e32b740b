"""How many fields a message has on the wire, found before anything of it is parsed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.descriptor import Descriptor, FieldDescriptor

MOST_FIELDS = 20_000
"""Of one request, at any depth: each takes time on the event loop that all callers share."""
_PACKED_BYTES = {
    FieldDescriptor.TYPE_DOUBLE: 8,
    FieldDescriptor.TYPE_FIXED64: 8,
    FieldDescriptor.TYPE_SFIXED64: 8,
    FieldDescriptor.TYPE_FLOAT: 4,
    FieldDescriptor.TYPE_FIXED32: 4,
    FieldDescriptor.TYPE_SFIXED32: 4,
}
_NOT_PACKED = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_GROUP}
_VARINT, _FIXED64, _DELIMITED, _START_GROUP, _END_GROUP, _FIXED32 = range(6)
# A group's begin and end have no content of their own; what is between them counts. There are no other kinds.
_SCALAR_BYTES = (0, 8, 0, 0, 0, 4)
_LEAF = "", 0


@dataclass(slots=True)
class Shape:
    """What is inside the fields of a message: for each number a name, and a message's shape or the bytes of one packed value."""

    inside: Mapping[int, tuple[str, "Shape | int"]] = field(default_factory=dict)


def shape_of(descriptor: Descriptor, known: dict[str, Shape] | None = None) -> Shape:
    """Of a message and all that it can hold."""
    known = {} if known is None else known
    if (shape := known.get(descriptor.full_name)) is not None:
        return shape
    shape = known[descriptor.full_name] = Shape()
    inside: dict[int, tuple[str, Shape | int]] = {}
    for each in descriptor.fields:
        if each.message_type is not None:
            inside[each.number] = each.name, shape_of(each.message_type, known)
        elif each.is_repeated and each.type not in _NOT_PACKED:
            inside[each.number] = each.name, _PACKED_BYTES.get(each.type, 1)
    shape.inside = inside
    return shape


def field_beyond(raw: bytes, shape: Shape, most: int = MOST_FIELDS) -> str | None:
    """The path of the field with which a message has more than `most`; None when it has no more.

    Takes time for at most so many fields, however long the message is. A message that is cut off or malformed is left for
    the parser to refuse.
    """
    try:
        return _beyond(raw, shape, most)
    except IndexError:
        return None


def _beyond(raw: bytes, shape: Shape, most: int) -> str | None:
    place, end, count, path = 0, len(raw), 0, ""
    outer: list[tuple[int, Shape, str]] = []
    while True:
        while place >= end:
            if not outer:
                return None
            end, shape, path = outer.pop()
        tag, place = _varint(raw, place)
        name, inside = shape.inside.get(tag >> 3, _LEAF)
        count += 1
        if tag & 7 != _DELIMITED:
            place = _after_scalar(raw, place, tag & 7)
        else:
            length, place = _varint(raw, place)
            if isinstance(inside, Shape):
                outer.append((end, shape, path))
                end, shape, path, name = place + length, inside, _joined(path, name), ""
            else:
                count += length // inside if inside else 0
                place += length
        if count > most:
            return _joined(path, name) or "the request"


def _after_scalar(raw: bytes, place: int, kind: int) -> int:
    if kind == _VARINT:
        while raw[place] & 0x80:
            place += 1
        return place + 1
    return place + _SCALAR_BYTES[kind]


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    value = raw[place]
    place += 1
    if value < 0x80:  # noqa: PLR2004 - protobuf's base 128
        return value, place
    value &= 0x7F
    shift = 7
    while True:
        byte = raw[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - as above
            return value, place
        shift += 7
        if shift > 63:  # noqa: PLR2004 - no varint is longer than 64 bits
            raise IndexError
