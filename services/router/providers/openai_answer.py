"""Reads answers of OpenAI-compatible servers, streamed and whole."""

import re
from typing import Any

import msgspec

from services._runtime.telemetry.masking import Masking
from services.router.providers import tolerance
from services.router.providers.deltas import Deltas, Kind
from services.router.providers.failures import (
    check_named,
    check_reported,
    interrupted,
    malformed,
    nothing_said,
)
from services.router.providers.finish_reasons import (
    REFUSAL,
    STOP,
    TOOL_CALLS,
    UNSPECIFIED,
    Reason,
    reason_of,
    says_more,
)
from services.router.providers.halves import Halves
from services.router.providers.json_text import LOOKED_AT_BYTES, NOTHING, UNREADABLE, check_items
from services.router.providers.openai_annotations import annotations_of
from services.router.providers.openai_shapes import (
    Answer,
    Choice,
    Function,
    Message,
    Seldom,
    SeldomMessage,
    ToolCall,
    join,
    logprobs_of,
    prepare,
)
from services.router.providers.openai_state import OpenAiState
from services.router.providers.openai_usage import Usage, newest, to_usage
from services.router.providers.tool_calls import ToolCalls
from services.router.targets.provider import Chunk, ProviderError

_DONE = b"[DONE]"
_CHARACTERS_PER_TOKEN = 4
_TEXTS: dict[str, Kind] = {"text": "text", "reasoning": "reasoning", "refusal": "refusal"}
_ANSWERS = msgspec.json.Decoder(Answer)
_SELDOM = msgspec.json.Decoder(Seldom)
_SELDOM_NAMES = re.compile(
    rb'"(?:error|function_call|x_groq|extra_content|provider_specific_fields|reasoning_details|annotations'
    rb'|citations|search_results)"'
)


class OpenAiReader:
    """For one answer of `choice_count` choices."""

    def __init__(self, choice_count: int, masking: Masking, provider: str) -> None:
        self.whole = False
        self.failure: ProviderError | None = None
        self._choice_count = choice_count
        self._masking = masking
        self._provider = provider
        # The first choice has its own mark, as it is the only one that is always there.
        self._has_first = False
        self._others: set[int] = set()
        self._ends: dict[int, tuple[Reason, str]] = {}
        self._refused: set[int] = set()
        self._calls: dict[int, ToolCalls] = {}
        self._newest_calls: dict[int, list[int | None]] = {}
        self._state: OpenAiState | None = None
        self._places: dict[int, int] = {}
        self._usage: Usage | None = None
        self._told = False
        self._ended_when_counted = 0
        self._tier: Any = None
        # Only answers that are read by `tolerance` can have any.
        self._halves: Halves | None = None

    @property
    def held(self) -> int:
        return sum(calls.held for calls in self._calls.values()) if self._calls else 0

    @property
    def finished(self) -> bool:
        enough = min(self._choice_count, self._ended_when_counted or self._choice_count)
        return len(self._ends) >= enough and self._all_ended

    @property
    def _said(self) -> set[int]:
        return self._others | {0} if self._has_first else self._others

    @property
    def _all_ended(self) -> bool:
        return bool(self._ends) and self._said <= self._ends.keys()

    def read_events(self, events: list[bytes]) -> Chunk | None:
        deltas = Deltas(self._masking, self._provider)
        self._told = False
        try:
            for event in events:
                if event == _DONE:
                    self._done(deltas)
                    break
                if len(event) > LOOKED_AT_BYTES:
                    check_items(event)
                try:
                    answer = _ANSWERS.decode(event)
                except UNREADABLE:
                    self._read_oddly(event, deltas)
                    if self.whole:
                        break
                else:
                    self._take(answer, deltas, event)
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
        deltas = Deltas(self._masking, self._provider)
        self._end(deltas)
        return self._chunk(deltas, 0)

    def read_body(self, body: bytes) -> Chunk:
        deltas = Deltas(self._masking, self._provider)
        try:
            check_items(body)
            try:
                self._take(_ANSWERS.decode(body), deltas, body)
            except UNREADABLE:
                self._read_oddly(body, deltas)
        except UNREADABLE as error:
            raise malformed("an answer that is not the protocol's", error) from None
        if not deltas.pieces and not self._ends:
            raise nothing_said(body)
        self._end(deltas)
        return self._chunk(deltas, -(-deltas.characters // _CHARACTERS_PER_TOKEN))

    def _read_oddly(self, text: bytes, deltas: Deltas) -> None:
        if text.strip(b' \t\r\n"').upper() in (_DONE, b"DONE"):
            self._done(deltas)
            return
        check_named(text)
        self._halves = self._halves or Halves()
        for answer, seldom in zip(
            tolerance.read(text, Answer, prepare), tolerance.read(text, Seldom, prepare), strict=True
        ):
            self._take(answer, deltas, b"")
            self._take_seldom(seldom, deltas)

    def _take(self, answer: Answer, deltas: Deltas, text: bytes) -> None:
        if answer.error is not NOTHING:
            check_reported(answer.error)
        ended = False
        look = False
        for choice in answer.choices or ():
            if (choice.index or self._places) and not self._place(choice):
                choice.finish_reason = None
                continue
            said = choice.delta or self._all_of(choice)
            if said is not None:
                self._take_message(choice, said, deltas)
            if choice.finish_reason:
                ended = look = True
            elif said is None or not said.content or said.extra_content is not NOTHING:
                # Beside a piece of text no server says what few say, but Gemini its signature.
                look = True
        if look:
            self._look(answer, deltas, text)
        if ended:
            self._take_ends(answer)
        if answer.usage is not None:
            self._take_usage(answer.usage)

    def _look(self, answer: Answer, deltas: Deltas, text: bytes) -> None:
        self._tier = answer.service_tier or self._tier
        is_counted = answer.usage is not None or b'"usage":{' not in text
        if not is_counted or _SELDOM_NAMES.search(text) is not None:
            try:
                seldom = [_SELDOM.decode(text)]
            except UNREADABLE:
                seldom = tolerance.read(text, Seldom, prepare)
            for each in seldom:
                self._take_seldom(each, deltas)

    def _take_seldom(self, answer: Seldom, deltas: Deltas) -> None:
        for choice in answer.choices or ():
            check_reported(choice.error)
            place = self._places.get(choice.index, choice.index)
            said = choice.delta or choice.message
            if said is not None and place in self._said:
                self._take_seldom_message(place, said, deltas)
            if choice.usage is not None:
                self._take_usage(choice.usage)
        if answer.x_groq is not None and answer.x_groq.usage is not None:
            self._take_usage(answer.x_groq.usage)
        if answer.citations or answer.search_results:
            self._state = self._state or OpenAiState()
            self._state.take_sources(answer.citations, answer.search_results)

    def _take_seldom_message(self, choice: int, said: SeldomMessage, deltas: Deltas) -> None:
        if said.function_call is not None:
            self._take_call(choice, ToolCall(function=said.function_call), deltas)
        for place, call in zip(self._newest_calls.get(choice, ()), said.tool_calls or (), strict=False):
            if place is not None and (state := call.state()):
                self._calls[choice].keep_state(place, state, deltas)
        if said.annotations:
            deltas.annotate(choice, annotations_of(said.annotations))
        self._state = self._state or OpenAiState()
        self._state.take(choice, said)

    def _take_usage(self, usage: Usage) -> None:
        self._told = True
        self._ended_when_counted = len(self._ends)
        self._usage = newest(self._usage, usage)

    def _all_of(self, choice: Choice) -> Message | None:
        """Some say all of it once more at the end of a stream."""
        return None if choice.index in self._said else choice.message

    def _place(self, choice: Choice) -> bool:
        """Whether the choice is one of those that were asked for: by its index, else by its order."""
        if not self._places and self._has_first:
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
        if choice.index:
            self._others.add(choice.index)
        else:
            self._has_first = True
        if self._halves is not None:
            join(said, choice.index, self._halves)
        if reasoning := said.reasoning_content or said.reasoning:
            deltas.add("reasoning", choice.index, reasoning)
        if said.content:
            logprobs = logprobs_of(choice.logprobs.content) if choice.logprobs else ()
            deltas.add("text", choice.index, said.content, logprobs)
        if said.refusal:
            self._refused.add(choice.index)
            logprobs = logprobs_of(choice.logprobs.refusal) if choice.logprobs else ()
            deltas.add("refusal", choice.index, said.refusal, logprobs)
        if said.tool_calls:
            places = [self._take_call(choice.index, call, deltas) for call in said.tool_calls]
            self._newest_calls[choice.index] = places

    def _take_call(self, choice: int, call: ToolCall, deltas: Deltas) -> int | None:
        calls = self._calls.get(choice)
        if calls is None:
            calls = self._calls[choice] = ToolCalls(choice)
        function = call.function or Function()
        arguments = function.arguments or ""
        if self._halves is not None:
            arguments = self._halves.join((f"call {call.index}", choice), arguments)
        return calls.take(
            deltas,
            index=call.index,
            call_id=call.id or "",
            name=function.name or "",
            arguments=arguments,
        )

    def _take_ends(self, answer: Answer) -> None:
        """:raises ProviderError: one is no end, but a failure"""
        for choice in answer.choices or ():
            if choice.finish_reason:
                reason = reason_of(choice.finish_reason)
                known = self._ends.get(choice.index)
                if known is None or says_more(reason, known[0]):
                    self._ends[choice.index] = reason, choice.finish_reason

    def _done(self, deltas: Deltas) -> None:
        if not self._all_ended and not (self._said and self._usage):
            raise interrupted("the stream ended with neither a finish reason nor usage")
        self._end(deltas)

    def _end(self, deltas: Deltas) -> None:
        if self._halves is not None:
            self._tell_halves(self._halves, deltas)
        if self._calls:
            for calls in self._calls.values():
                calls.close(deltas)
        if self._state is not None:
            self._state.tell(deltas)
        is_one = not self._others and len(self._ends) == 1 and 0 in self._ends
        for choice in (0,) if is_one else sorted(self._said | self._ends.keys()):
            reason, raw = self._ends.get(choice, (UNSPECIFIED, ""))
            deltas.finished(choice, self._reason(choice, reason), raw)
        self.whole = True

    def _tell_halves(self, halves: Halves, deltas: Deltas) -> None:
        for (kind, choice), rest in halves.left():
            if kind in _TEXTS:
                deltas.add(_TEXTS[kind], choice, rest)

    def _reason(self, choice: int, reason: Reason) -> Reason:
        """Servers say `stop` for a refusal, and after a call of a tool that the request named."""
        if reason != STOP:
            return reason
        if choice in self._refused:
            return REFUSAL
        calls = self._calls.get(choice)
        return TOOL_CALLS if calls and calls.are_told else reason

    def _chunk(self, deltas: Deltas, pieces: int) -> Chunk:
        usage = to_usage(self._usage) if self._told and self._usage is not None else None
        tier = self._tier if isinstance(self._tier, str) else ""
        return Chunk(deltas.flush(), usage, pieces, deltas.characters, tier)
