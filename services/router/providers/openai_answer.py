"""Reads answers of OpenAI-compatible servers, streamed and whole."""

from typing import Any

import msgspec

from headgate.chat.v1.finish_reason_pb2 import FinishReason
from headgate.router.v1 import completion_pb2
from services._runtime.telemetry.masking import Masking
from services.router.providers import tolerance
from services.router.providers.deltas import Deltas, Kind
from services.router.providers.failures import (
    NO_ERROR,
    check_named,
    check_reported,
    interrupted,
    malformed,
    nothing_said,
)
from services.router.providers.finish_reasons import reason_of, says_more
from services.router.providers.halves import Halves
from services.router.providers.json_text import LOOKED_AT_BYTES, UNREADABLE, check_items
from services.router.providers.openai_shapes import (
    Answer,
    Choice,
    Function,
    Message,
    TokenLogprob,
    ToolCall,
    prepare,
)
from services.router.providers.openai_usage import Usage, newest, to_usage
from services.router.providers.sse import NamedEvent
from services.router.providers.tool_calls import ToolCalls
from services.router.targets.provider import Chunk, ProviderError

_DONE = b"[DONE]"
_CHARACTERS_PER_TOKEN = 4
_TEXTS: dict[str, Kind] = {"text": "text", "reasoning": "reasoning", "refusal": "refusal"}
_ANSWERS = msgspec.json.Decoder(Answer)


class OpenAiReader:
    """For one answer of `choice_count` choices."""

    def __init__(self, choice_count: int, masking: Masking) -> None:
        self.whole = False
        self.failure: ProviderError | None = None
        self._choice_count = choice_count
        self._masking = masking
        self._said: set[int] = set()
        self._ends: dict[int, tuple[FinishReason.ValueType, str]] = {}
        self._refused: set[int] = set()
        self._calls: dict[int, ToolCalls] = {}
        self._places: dict[int, int] = {}
        self._usage: Usage | None = None
        self._told = self._counted = False
        self._tier: Any = None
        # Only answers that are read by `tolerance` can have any.
        self._halves: Halves | None = None

    @property
    def finished(self) -> bool:
        return self._all_ended and (self._counted or len(self._ends) >= self._choice_count)

    @property
    def _all_ended(self) -> bool:
        return bool(self._ends) and self._said <= self._ends.keys()

    def read_events(self, events: list[bytes]) -> Chunk | None:
        deltas = Deltas(self._masking)
        self._told = False
        try:
            for event in events:
                if event == _DONE:
                    self._done(deltas)
                else:
                    self._read(event, deltas)
                if self.whole:
                    break
        except UNREADABLE as error:
            # What follows the end is not needed.
            if not self.finished:
                self.failure = malformed("an event that is not the protocol's", error)
        except ProviderError as error:
            self.failure = error
        return self._chunk(deltas, deltas.pieces) if events else None

    def finish(self) -> Chunk:
        if not self.finished:
            raise interrupted("the stream ended without a finish reason for every choice")
        deltas = Deltas(self._masking)
        self._end(deltas)
        return self._chunk(deltas, 0)

    def read_body(self, body: bytes) -> Chunk:
        deltas = Deltas(self._masking)
        try:
            self._read(body, deltas)
        except UNREADABLE as error:
            raise malformed("an answer that is not the protocol's", error) from None
        if not deltas.pieces and not self._ends:
            raise nothing_said(body)
        self._end(deltas)
        return self._chunk(deltas, -(-deltas.characters // _CHARACTERS_PER_TOKEN))

    def _read(self, text: bytes, deltas: Deltas) -> None:
        if type(text) is NamedEvent:
            check_named(text)
        if len(text) > LOOKED_AT_BYTES:
            check_items(text)
        try:
            answer = _ANSWERS.decode(text)
        except UNREADABLE:
            self._read_oddly(text, deltas)
        else:
            self._take(answer, deltas)

    def _read_oddly(self, text: bytes, deltas: Deltas) -> None:
        if text.strip(b' \t\r\n"').upper() in (_DONE, b"DONE"):
            self._done(deltas)
            return
        self._halves = self._halves or Halves()
        for answer in tolerance.read(text, Answer, prepare):
            self._take(answer, deltas)

    def _take(self, answer: Answer, deltas: Deltas) -> None:
        if answer.error is not NO_ERROR:
            check_reported(answer.error)
        usage = answer.usage or (answer.x_groq and answer.x_groq.usage)
        for choice in answer.choices or ():
            if choice.error is not NO_ERROR:
                check_reported(choice.error)
            if (choice.index or self._places) and not self._place(choice):
                continue
            said = choice.delta
            if said is None and choice.index not in self._said:
                # Some say all of it once more at the end of a stream.
                said = choice.message
            if said is not None:
                if self._halves is not None:
                    _join(said, choice.index, self._halves)
                self._said.add(choice.index)
                self._take_message(choice, said, deltas)
            if choice.finish_reason:
                self._take_end(choice.index, choice.finish_reason)
            usage = usage or choice.usage
        if usage:
            self._told = True
            self._counted = self._all_ended
            self._usage = newest(self._usage, usage)
        self._tier = answer.service_tier or self._tier

    def _place(self, choice: Choice) -> bool:
        """Whether the choice is one of those that were asked for: by its index, else by its order."""
        if not self._places and 0 in self._said:
            self._places[0] = 0
        place = self._places.get(choice.index)
        if place is None:
            taken = {*self._places.values(), *self._said}
            free = [place for place in range(self._choice_count) if place not in taken]
            if not free:
                return False
            place = choice.index if choice.index in free else free[0]
            self._places[choice.index] = place
        choice.index = place
        return True

    def _take_message(self, choice: Choice, said: Message, deltas: Deltas) -> None:
        if reasoning := said.reasoning_content or said.reasoning:
            deltas.add("reasoning", choice.index, reasoning)
        if said.content:
            logprobs = _logprobs(choice.logprobs.content) if choice.logprobs else ()
            deltas.add("text", choice.index, said.content, logprobs)
        if said.refusal:
            self._refused.add(choice.index)
            logprobs = _logprobs(choice.logprobs.refusal) if choice.logprobs else ()
            deltas.add("refusal", choice.index, said.refusal, logprobs)
        for call in said.tool_calls or ():
            self._take_call(choice.index, call, deltas)
        if said.function_call:
            self._take_call(choice.index, ToolCall(function=said.function_call), deltas)

    def _take_call(self, choice: int, call: ToolCall, deltas: Deltas) -> None:
        calls = self._calls.get(choice)
        if calls is None:
            calls = self._calls[choice] = ToolCalls(choice)
        function = call.function or Function()
        calls.take(
            deltas,
            index=call.index,
            call_id=call.id or "",
            name=function.name or "",
            arguments=function.arguments or "",
        )

    def _take_end(self, choice: int, raw: str) -> None:
        """:raises ProviderError: it is no end, but a failure"""
        reason = reason_of(raw)
        known = self._ends.get(choice)
        if known is None or says_more(reason, known[0]):
            self._ends[choice] = reason, raw

    def _done(self, deltas: Deltas) -> None:
        if not self._all_ended and not (self._said and self._usage):
            raise interrupted("the stream ended with neither a finish reason nor usage")
        self._end(deltas)

    def _end(self, deltas: Deltas) -> None:
        for (kind, choice), rest in self._halves.left() if self._halves else ():
            if kind in _TEXTS:
                deltas.add(_TEXTS[kind], choice, rest)
        for calls in self._calls.values():
            calls.close(deltas)
        for choice in sorted(self._said | self._ends.keys()):
            reason, raw = self._ends.get(choice, (FinishReason.FINISH_REASON_UNSPECIFIED, ""))
            deltas.finished(choice, self._reason(choice, reason), raw)
        self.whole = True

    def _reason(self, choice: int, reason: "FinishReason.ValueType") -> "FinishReason.ValueType":
        """Servers say `stop` for a refusal, and after a call of a tool that the request named."""
        if reason != FinishReason.FINISH_REASON_STOP:
            return reason
        if choice in self._refused:
            return FinishReason.FINISH_REASON_REFUSAL
        calls = self._calls.get(choice)
        return FinishReason.FINISH_REASON_TOOL_CALLS if calls and calls.are_told else reason

    def _chunk(self, deltas: Deltas, pieces: int) -> Chunk:
        usage = to_usage(self._usage) if self._told and self._usage is not None else None
        tier = self._tier if isinstance(self._tier, str) else ""
        return Chunk(deltas.flush(), usage, pieces, deltas.characters, tier)


def _join(said: Message, choice: int, halves: Halves) -> None:
    said.content = halves.join(("text", choice), said.content or "")
    said.reasoning_content = halves.join(
        ("reasoning", choice), said.reasoning_content or said.reasoning or ""
    )
    said.reasoning = None
    said.refusal = halves.join(("refusal", choice), said.refusal or "")
    for call in said.tool_calls or ():
        if call.function is not None:
            key = f"call {call.index}", choice
            call.function.arguments = halves.join(key, call.function.arguments or "")


def _logprobs(tokens: list[TokenLogprob] | None) -> list[completion_pb2.TokenLogprob]:
    return [
        completion_pb2.TokenLogprob(
            token=each.token, logprob=each.logprob, alternatives=_logprobs(each.top_logprobs)
        )
        for each in tokens or ()
    ]
