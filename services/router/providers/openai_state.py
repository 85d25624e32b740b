"""What a server wants back with the whole answer of a choice, told in its end: nobody can read it, and it belongs to no piece."""

from collections.abc import Sequence
from typing import Any

from headgate.chat.v1 import message_pb2
from services.router.providers.deltas import Deltas
from services.router.providers.json_text import NOTHING
from services.router.providers.openai_annotations import sources_of
from services.router.providers.openai_shapes import SeldomMessage, state_of
from services.router.providers.reasoning_details import ReasoningDetails
from services.router.providers.tolerance import json_text


class OpenAiState:
    """Of one answer."""

    def __init__(self) -> None:
        self._details: dict[int, ReasoningDetails] = {}
        self._extra: dict[int, str] = {}
        self._citations: Sequence[Any] = ()
        self._results: Sequence[Any] = ()

    def take(self, choice: int, said: SeldomMessage) -> None:
        if said.reasoning_details:
            self._details.setdefault(choice, ReasoningDetails()).take(said.reasoning_details)
        if extra := state_of(said.extra_content, NOTHING):
            self._extra[choice] = extra

    def take_sources(self, citations: Sequence[Any] | None, results: Sequence[Any] | None) -> None:
        """Some say all of them in each piece: the newest count."""
        self._citations = citations or self._citations
        self._results = results or self._results

    def tell(self, deltas: Deltas) -> None:
        for choice, details in self._details.items():
            for block in details.blocks():
                _tell(
                    deltas,
                    choice,
                    json_text({"reasoning_details": [block]}),
                )
        for choice, extra in self._extra.items():
            _tell(deltas, choice, extra)
        deltas.annotate(0, sources_of(self._citations, self._results))


def _tell(deltas: Deltas, choice: int, state_json: str) -> None:
    deltas.whole_reasoning(choice, message_pb2.Reasoning(state_json=state_json))
