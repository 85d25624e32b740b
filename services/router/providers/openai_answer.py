"""Reads answers of OpenAI-compatible servers, streamed and whole."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from headgate.chat.v1.finish_reason_pb2 import FinishReason
from headgate.common.v1 import usage_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.telemetry.masking import Masking
from services.router.providers.deltas import Deltas
from services.router.providers.failures import NO_ERROR, check_reported, interrupted, malformed
from services.router.providers.json_text import LOOKED_AT_BYTES, UNREADABLE, Count, check_items
from services.router.targets.provider import Chunk, ProviderError

_DONE = b"[DONE]"
_CHARACTERS_PER_TOKEN = 4
_NOTHING = "the stream ended without a finish reason for every choice"

_STOP, _OTHER = FinishReason.FINISH_REASON_STOP, FinishReason.FINISH_REASON_OTHER
FINISH_REASONS = {
    "stop": _STOP,
    "eos": FinishReason.FINISH_REASON_STOP,
    "length": FinishReason.FINISH_REASON_LENGTH,
    "tool_calls": FinishReason.FINISH_REASON_TOOL_CALLS,
    "function_call": FinishReason.FINISH_REASON_TOOL_CALLS,
    "content_filter": FinishReason.FINISH_REASON_CONTENT_FILTER,
}


Place = Annotated[int, Meta(ge=0, lt=2**31)]
"""Of a tool call, as the contract can tell it."""


class Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct, gc=False):
    index: Place | None = None
    id: str | None = None
    function: Function | None = None


class Message(Struct, gc=False):
    """A `delta` of a stream or the `message` of a whole answer."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """What some servers call `reasoning_content`; those that send both say the same in them."""
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class TokenLogprob(Struct, gc=False):
    token: str
    logprob: float
    top_logprobs: list["TokenLogprob"] = []


class Logprobs(Struct, gc=False):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Choice(Struct, gc=False):
    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class PromptDetails(Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class CompletionDetails(Struct, gc=False):
    reasoning_tokens: Count | None = None


class Usage(Struct, gc=False):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Answer(Struct, gc=False):
    """A chunk of a stream, or a whole answer."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NO_ERROR
    service_tier: Any = None


_ANSWERS = msgspec.json.Decoder(Answer)


def to_usage(usage: Usage) -> usage_pb2.TokenUsage:
    """The counts with subsets inside their totals, whichever way the server counts."""
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = (prompt.cached_tokens if prompt else 0) or 0
    written = (prompt.cache_write_tokens if prompt else 0) or 0
    reasoning = (completion.reasoning_tokens if completion else 0) or 0
    inputs, outputs = usage.prompt_tokens or 0, usage.completion_tokens or 0
    # Some count reasoning beside the completion; their total gives them away.
    if reasoning > outputs or (reasoning and usage.total_tokens == inputs + outputs + reasoning):
        outputs += reasoning
    return usage_pb2.TokenUsage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_input_tokens=min(cached, inputs),
        cache_write_input_tokens=min(written, max(0, inputs - cached)),
        reasoning_output_tokens=reasoning,
        total_tokens=inputs + outputs,
        source=usage_pb2.USAGE_SOURCE_PROVIDER,
    )


class OpenAiReader:
    """For one answer of `choice_count` choices."""

    def __init__(self, choice_count: int, masking: Masking) -> None:
        self.whole = False
        self.failure: ProviderError | None = None
        self._choice_count = choice_count
        self._masking = masking
        self._finished: set[int] = set()
        self._refused: set[int] = set()
        self._calls: dict[int, dict[int, str]] = {}

    def read_events(self, events: list[bytes]) -> Chunk | None:
        deltas = Deltas(self._masking)
        usage: Usage | None = None
        tier: Any = None
        try:
            for event in events:
                if event == _DONE:
                    self._end()
                    break
                if len(event) > LOOKED_AT_BYTES:
                    check_items(event)
                answer = _ANSWERS.decode(event)
                self._take(answer, deltas)
                usage = answer.usage or usage
                tier = answer.service_tier or tier
        except UNREADABLE as error:
            self.failure = malformed("an event that is not the protocol's", error)
        except ProviderError as error:
            self.failure = error
        return _chunk(deltas, usage, tier) if events else None

    def end_of_stream(self) -> None:
        """Without `[DONE]`: whole all the same when every choice is finished."""
        if len(self._finished) < self._choice_count:
            raise interrupted(_NOTHING)

    def read_body(self, body: bytes) -> Chunk:
        try:
            check_items(body)
            answer = _ANSWERS.decode(body)
        except UNREADABLE as error:
            raise malformed("an answer that is not the protocol's", error) from None
        deltas = Deltas(self._masking)
        self._take(answer, deltas)
        if not answer.choices:
            raise malformed("an answer without choices")
        self._end()
        return _chunk(deltas, answer.usage, answer.service_tier, _estimated_tokens(answer))

    def _end(self) -> None:
        if len(self._finished) < self._choice_count:
            raise interrupted(_NOTHING)
        self.whole = True

    def _take(self, answer: Answer, deltas: Deltas) -> None:
        if answer.error is not NO_ERROR:
            check_reported(answer.error)
        for choice in answer.choices or ():
            if choice.index:
                self._place(choice)
            said = choice.delta or choice.message
            if said is not None:
                self._take_message(choice, said, deltas)
            if choice.finish_reason and choice.index not in self._finished:
                self._finished.add(choice.index)
                deltas.finished(choice.index, self._reason(choice), choice.finish_reason)

    def _place(self, choice: Choice) -> None:
        """Of one answer its place is no matter; of several it says which one this is."""
        if self._choice_count == 1:
            choice.index = 0
        elif not 0 <= choice.index < self._choice_count:
            raise malformed("a choice beyond those that were asked for")

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

    def _take_call(self, choice: int, call: ToolCall, deltas: Deltas) -> None:
        """Only the first piece of a call keeps id and name, though some servers repeat them in each."""
        known = self._calls.setdefault(choice, {})
        index = _index_of(call, known)
        function = call.function or Function()
        piece = completion_pb2.ToolCallDelta(index=index, arguments_fragment=function.arguments or "")
        if index not in known:
            known[index] = piece.id = call.id or f"call_{index}"
            piece.name = function.name or ""
        deltas.tool_call(choice, piece)

    def _reason(self, choice: Choice) -> "FinishReason.ValueType":
        """Servers say `stop` for a refusal, and after a call of a tool that the request named."""
        reason = FINISH_REASONS.get(choice.finish_reason or "", _OTHER)
        if reason != _STOP:
            return reason
        if choice.index in self._refused:
            return FinishReason.FINISH_REASON_REFUSAL
        return FinishReason.FINISH_REASON_TOOL_CALLS if choice.index in self._calls else reason


def _index_of(call: ToolCall, known: dict[int, str]) -> int:
    """Servers that send each call whole may leave the index out."""
    if call.index is not None:
        return call.index
    if call.id is None:
        return max(known, default=0)
    return next((index for index, each in known.items() if each == call.id), len(known))


def _logprobs(tokens: list[TokenLogprob] | None) -> list[completion_pb2.TokenLogprob]:
    return [
        completion_pb2.TokenLogprob(
            token=each.token, logprob=each.logprob, alternatives=_logprobs(each.top_logprobs)
        )
        for each in tokens or ()
    ]


def _estimated_tokens(answer: Answer) -> int:
    """A whole answer has no pieces to count."""
    said = [choice.message for choice in answer.choices or () if choice.message]
    texts = [
        text for each in said for text in (each.content, each.reasoning_content or each.reasoning) if text
    ]
    calls = [call.function for each in said for call in each.tool_calls or () if call.function]
    characters = sum(map(len, texts)) + sum(len(f.name or "") + len(f.arguments or "") for f in calls)
    return -(-characters // _CHARACTERS_PER_TOKEN)


def _chunk(deltas: Deltas, usage: Usage | None, tier: Any, pieces: int | None = None) -> Chunk:
    told = to_usage(usage) if usage is not None else None
    events, pieces = deltas.flush(), deltas.pieces if pieces is None else pieces
    return Chunk(events, told, pieces, deltas.characters, tier if isinstance(tier, str) else "")
