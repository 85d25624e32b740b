"""What Anthropic's models cite: each text block rests on its own sources."""

from itertools import pairwise
from typing import Any

from headgate.chat.v1 import message_pb2
from services.router.providers.halves import whole_characters
from services.router.providers.json_text import fields_of
from services.router.providers.tolerance import json_text

_LONGEST = {"url": 8192, "title": 4096, "cited_text": 65536}


class Citations:
    """Of the text so far; a source is known before the block that rests on it has ended."""

    def __init__(self) -> None:
        self._characters = self._begin = 0
        self._open: list[message_pb2.Annotation] = []

    def add_text(self, text: str) -> None:
        self._characters += len(text)

    def cite(self, told: Any) -> None:
        if isinstance(told, dict):
            self._open.append(_annotation(told))

    def end_block(self) -> list[message_pb2.Annotation]:
        """The sources of the block, with its place in the answer's text."""
        ended, self._open = self._open, []
        for each in ended:
            each.start_index, each.end_index = self._begin, self._characters
        self._begin = self._characters
        return ended


def _annotation(told: dict[str, Any]) -> message_pb2.Annotation:
    title = told.get("title") or told.get("document_title")
    texts = {
        "url": told.get("url") or told.get("source"),
        "title": title,
        "cited_text": told.get("cited_text"),
    }
    kind = told.get("type")
    state = json_text(told)
    made = message_pb2.Annotation(
        type=kind[:64] if isinstance(kind, str) else "",
        state_json=state if len(state) <= _LONGEST["cited_text"] else "",
    )
    for name, text in texts.items():
        if isinstance(text, str):
            setattr(made, name, whole_characters(text)[: _LONGEST[name]])
    return made


def cited_blocks(part: message_pb2.Part, provider: str) -> list[dict[str, Any]]:
    """A text as the blocks that it came in, those that rest on sources of `provider` with them."""
    cited: dict[tuple[int, int], list[Any]] = {}
    for each in part.annotations:
        source = fields_of(each.state_json) if each.provider == provider else {}
        if source and each.start_index < each.end_index:
            cited.setdefault((each.start_index, each.end_index), []).append(source)
    edges = sorted({0, len(part.text), *(min(edge, len(part.text)) for span in cited for edge in span)})
    blocks: list[dict[str, Any]] = []
    for begin, end in pairwise(edges):
        if (text := part.text[begin:end]).strip():
            block: dict[str, Any] = {"type": "text", "text": text}
            if sources := cited.get((begin, end)):
                block["citations"] = sources
            blocks.append(block)
    return blocks
