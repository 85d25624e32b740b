"""Texts of all of Unicode, and any of them in each place of a message where a text can stand."""

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

ODD = [
    "\0",
    "a\0b",
    "\x1f",
    "\x7f",
    "\x85",
    "\x9b",
    "\u2028",
    "\u202eevil",
    "\ufeff",
    "\ufffe",
    "\uffff",
    "\U0010ffff",
    "e\u0301\u0323",
    "𓀀",
    "שלום",
    "'; --",
    "%00",
    "headgate/cleaned",
]
_ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=70)
TEXT = st.sampled_from(ODD) | _ANY | st.builds(str.__add__, _ANY, st.sampled_from(ODD))
"""Everything but surrogates, which no message can carry."""

Say = Callable[[str, str], str]
"""Takes the full name of a field and what it says, and returns what it is to say."""


def respeak(message: Message, say: Say) -> None:
    """Of every text that is set, in order."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _respeak_map(field.message_type.full_name, value, say)
        elif field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                respeak(each, say)
        elif field.type == FieldDescriptor.TYPE_STRING and field.is_repeated:
            value[:] = [say(field.full_name, each) for each in value]
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(message, field.name, say(field.full_name, value))


def _respeak_map(entry: str, pairs: Any, say: Say) -> None:
    for key in list(pairs):
        value = pairs[key]
        if isinstance(value, Message):
            respeak(value, say)
            kept = type(value)()
            kept.CopyFrom(value)
            del pairs[key]
            pairs[say(f"{entry}.key", key)].CopyFrom(kept)
        else:
            del pairs[key]
            pairs[say(f"{entry}.key", key)] = say(f"{entry}.value", value)


def texts_of(message: Message) -> list[str]:
    """The full names of the fields of its texts."""
    names: list[str] = []

    def note(name: str, text: str) -> str:
        names.append(name)
        return text

    respeak(_copy(message), note)
    return names


def saying(message: Message, place: int, text: str) -> Any:
    """A copy with this as its text number `place`, counted from 0."""
    changed, passed = _copy(message), iter(range(len(texts_of(message))))
    respeak(changed, lambda _, said: text if next(passed) == place else said)
    return changed


def _copy(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
