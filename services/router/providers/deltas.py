"""Collects what one read brought as completion events, neighbouring pieces of one kind merged."""

import re
from collections.abc import Sequence
from typing import Literal

from headgate.chat.v1 import finish_reason_pb2, message_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.telemetry.masking import Masking

_Event = completion_pb2.CompletionEvent
Kind = Literal["text", "refusal", "reasoning"]
Logprobs = Sequence[completion_pb2.TokenLogprob]
_REASON = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)*")
_LONGEST_REASON = 64
# Of what a provider wants back: as much as a request may hand back.
LARGEST_STATE = 1024 * 1024
# What a declared tool may be called.
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


class Deltas:
    """For one read. `pieces` counts generated pieces, about one token each.

    `provider` is who made what it alone can use again. What a model says passes as it is. What the provider says beside it passes where it can't hold what `masking` hides.
    """

    __slots__ = (
        "_choice",
        "_kind",
        "_logprobs",
        "_masking",
        "_provider",
        "_texts",
        "characters",
        "events",
        "pieces",
    )

    def __init__(self, masking: Masking, provider: str) -> None:
        self._masking = masking
        self._provider = provider
        self.events: list[completion_pb2.CompletionEvent] = []
        self.pieces = self.characters = 0
        self._kind: Kind = "text"
        self._choice = 0
        self._texts: list[str] = []
        self._logprobs: list[completion_pb2.TokenLogprob] = []

    def add(self, kind: Kind, choice: int, text: str, logprobs: Logprobs = ()) -> None:
        """A piece of text, of a refusal or of reasoning."""
        self.pieces += 1
        if kind != self._kind or choice != self._choice:
            self.flush()
            self._kind = kind
            self._choice = choice
        self._texts.append(text)
        if logprobs:
            self._logprobs.extend(logprobs)

    def whole_reasoning(self, choice: int, reasoning: message_pb2.Reasoning) -> None:
        """A block of its own, or the end of one: its signature, what the provider encrypted, or its state."""
        if len(reasoning.state_json) > LARGEST_STATE:
            return
        reasoning.provider = self._provider
        self._emit(completion_pb2.Delta(choice_index=choice, reasoning=reasoning))

    def count(self, characters: int) -> None:
        """A piece of a call, whenever it is told."""
        self.pieces += 1
        self.characters += characters

    def tool_call(self, choice: int, call: completion_pb2.ToolCallDelta) -> None:
        """A part of a call; further argument fragments of the same call are merged into it."""
        last = self.events[-1] if self.events and not self._texts else None
        if call.state_json:
            call.provider = self._provider
        if last is not None and not call.id and not call.state_json and _is_of_call(last, choice, call.index):
            last.delta.tool_call.arguments_fragment += call.arguments_fragment
        else:
            self._guard(call)
            self._emit(completion_pb2.Delta(choice_index=choice, tool_call=call))

    def annotate(self, choice: int, annotations: Sequence[message_pb2.Annotation]) -> None:
        """Sources of the text so far."""
        for each in annotations:
            each.provider = self._provider
        if annotations:
            self._emit(completion_pb2.Delta(choice_index=choice, annotations=annotations))

    def finished(self, choice: int, reason: "finish_reason_pb2.FinishReason.ValueType", raw: str) -> None:
        self.flush()
        raw = raw if len(raw) <= _LONGEST_REASON and _REASON.fullmatch(raw) else ""
        end = completion_pb2.ChoiceFinished(choice_index=choice, finish_reason=reason, raw_reason=raw)
        self.events.append(_Event(choice_finished=end))

    def flush(self) -> list[completion_pb2.CompletionEvent]:
        """Every event so far."""
        if self._texts:
            event = _Event()
            delta, text = event.delta, "".join(self._texts)
            self.characters += len(text)
            if self._kind == "text":
                delta.text = text
            elif self._kind == "refusal":
                delta.refusal = text
            else:
                delta.reasoning.text = text
                delta.reasoning.provider = self._provider
            if self._choice:
                delta.choice_index = self._choice
            if self._logprobs:
                delta.logprobs.extend(self._logprobs)
            self.events.append(event)
            self._texts = []
            self._logprobs = []
        return self.events

    def _guard(self, call: completion_pb2.ToolCallDelta) -> None:
        if call.id and self._masking.hides(call.id):
            call.id = f"call_{call.index}"
        if call.name and (not _NAME.fullmatch(call.name) or self._masking.hides(call.name)):
            call.name = ""

    def _emit(self, delta: completion_pb2.Delta) -> None:
        self.flush()
        self.events.append(_Event(delta=delta))


def _is_of_call(event: completion_pb2.CompletionEvent, choice: int, index: int) -> bool:
    delta = event.delta
    return (
        delta.WhichOneof("content") == "tool_call"
        and delta.choice_index == choice
        and delta.tool_call.index == index
    )
