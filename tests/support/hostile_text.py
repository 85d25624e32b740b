"""Text that tries to command a terminal, messages that are full of it, and what of it a terminal would still obey."""

import unicodedata
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor

MARKUP = "[red]x[/red][/]"
COMMANDS = "\x1b]52;c;aGk=\x07\x9b2J\x1b[1A\x7f\x08\rover\u202ewritten\u2066\u2028\u2029\x85\u200b"
HOSTILE = f"{COMMANDS}{MARKUP}"

_OVERRIDES = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_WITHOUT_WIDTH = {0x200B, 0x2060, 0xFEFF}


def obeyed_in(text: str) -> set[str]:
    return {character for character in text if _is_obeyed(character)}


def _is_obeyed(character: str) -> bool:
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return character not in "\n\t"
    return ord(character) in _OVERRIDES | _WITHOUT_WIDTH


def fill(message: Any, turn: int = 0, inside: frozenset[str] = frozenset()) -> Any:
    """Every field is set, every text in it HOSTILE. Of a `oneof`, each next turn sets the next alternative.

    A message has none of its own kind inside, which would never end.
    """
    kinds = inside | {message.DESCRIPTOR.full_name}
    turns, chosen = turn, set(message.DESCRIPTOR.fields)
    for oneof in _choices(message.DESCRIPTOR):
        turns, alternative = divmod(turn, len(oneof.fields))
        chosen -= set(oneof.fields) - {oneof.fields[alternative]}
    for field in sorted(chosen, key=lambda field: field.number):
        if field.message_type is None:
            _fill_scalar(message, field, turns)
        elif field.message_type.full_name not in kinds:
            _fill_messages(message, field, field.message_type, turns, kinds)
    return message


def alternatives(descriptor: Descriptor) -> int:
    return max((len(oneof.fields) for oneof in _choices(descriptor)), default=1)


def _choices(descriptor: Descriptor) -> list[OneofDescriptor]:
    """Without those of one field, which `optional` stands for."""
    return [oneof for oneof in descriptor.oneofs if len(oneof.fields) > 1]


def _fill_scalar(message: Any, field: FieldDescriptor, turn: int) -> None:
    if field.is_repeated:
        getattr(message, field.name).append(_scalar(field, turn))
    else:
        setattr(message, field.name, _scalar(field, turn))


def _fill_messages(
    message: Any, field: FieldDescriptor, kind: Descriptor, turn: int, kinds: frozenset[str]
) -> None:
    own = getattr(message, field.name)
    if kind.GetOptions().map_entry:
        _fill_map(own, kind, kinds)
    elif field.is_repeated:
        for number in range(alternatives(kind)):
            fill(own.add(), turn + number, kinds)
    else:
        own.SetInParent()
        fill(own, turn, kinds)


def _fill_map(own: Any, entry: Descriptor, kinds: frozenset[str]) -> None:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    if value.message_type is None:
        own[_scalar(key, 0)] = _scalar(value, 0)
    else:
        fill(own[_scalar(key, 0)], 0, kinds)


def _scalar(field: FieldDescriptor, turn: int) -> Any:
    if field.enum_type is not None:
        named = field.enum_type.values[1:]
        return named[turn % len(named)].number
    if field.type == FieldDescriptor.TYPE_STRING:
        return HOSTILE
    return HOSTILE.encode() if field.type == FieldDescriptor.TYPE_BYTES else 1
