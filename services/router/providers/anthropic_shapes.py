"""The answers of Anthropic's Messages API as they are read; and, of those that differ, what they mean."""

from typing import Any

import msgspec
from msgspec import Struct

from services.router.providers.anthropic_usage import Usage
from services.router.providers.json_text import NOTHING
from services.router.providers.tolerance import json_text

_NO_INPUT = msgspec.Raw(b"{}")


class Block(Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = _NO_INPUT
    citations: list[Any] | None = None

    @property
    def arguments(self) -> str:
        """As JSON text; empty for what was left out or stands there only to be followed by its pieces."""
        text = bytes(self.input).decode()
        return "" if text in ("{}", "null", '""', "[]") else text


class Message(Struct, gc=False):
    content: list[Block] = []
    stop_reason: str | None = None
    usage: Usage | None = None


class Delta(Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: Any = None
    stop_reason: str | None = None


class Event(Struct, gc=False):
    """Any event of a stream; unknown ones have only their type."""

    type: str
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Message | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NOTHING


class OddEvent(Event, gc=False):
    """One that may be without its type, or be the whole answer."""

    type: str = ""
    content: list[Block] = []
    stop_reason: str | None = None


class Body(Message, gc=False):
    type: str = ""
    error: msgspec.Raw = NOTHING


def prepare(answer: dict[str, Any]) -> None:
    """Texts out of whatever stands where a text should be."""
    message = answer.get("message")
    for holder in (answer, message if isinstance(message, dict) else {}):
        if isinstance(content := holder.get("content"), str):
            holder["content"] = [{"type": "text", "text": content}]
    delta = answer.get("delta")
    if isinstance(delta, dict) and isinstance(delta.get("partial_json"), dict | list):
        delta["partial_json"] = json_text(delta["partial_json"])
