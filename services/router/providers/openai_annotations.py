"""The sources of an answer, in the forms in which OpenAI-compatible servers name them."""

from collections.abc import Sequence
from typing import Any

from headgate.chat.v1 import message_pb2
from services.router.providers.halves import whole_characters
from services.router.providers.tolerance import json_text

_MOST = 1024
_LONGEST = {"type": 64, "url": 8192, "title": 4096, "cited_text": 65536}
_MOST_PLACE = 2**31 - 1


def annotations_of(told: Sequence[Any]) -> list[message_pb2.Annotation]:
    """`{"type": "url_citation", "url_citation": {"url": ..., "title": ..., "start_index": ..., "end_index": ...}}`, or the same flat."""
    return [_annotation(each) for each in told[:_MOST] if isinstance(each, dict)]


def sources_of(citations: Sequence[Any], results: Sequence[Any]) -> list[message_pb2.Annotation]:
    """Of the whole answer: addresses, or what was found with its title."""
    found = [each if isinstance(each, dict) else {"url": each} for each in results or citations]
    return annotations_of([{"type": "search_result" if results else "citation"} | each for each in found])


def _annotation(told: dict[str, Any]) -> message_pb2.Annotation:
    kind = told.get("type")
    inner = told.get(kind) if isinstance(kind, str) else None
    fields = {**told, **(inner if isinstance(inner, dict) else {}), "type": kind}
    made = message_pb2.Annotation(
        **{name: _text(fields.get(name))[:longest] for name, longest in _LONGEST.items()},
        start_index=_place(fields.get("start_index")),
        end_index=_place(fields.get("end_index")),
    )
    state = json_text(told)
    made.state_json = state if len(state) <= _LONGEST["cited_text"] else ""
    return made


def _text(value: Any) -> str:
    return whole_characters(value) if isinstance(value, str) else ""


def _place(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value <= _MOST_PLACE else 0
