"""Reads answers of Anthropic's Messages API, streamed and whole."""

from typing import Any

import msgspec
from msgspec import Struct

from headgate.chat.v1 import message_pb2
from headgate.chat.v1.finish_reason_pb2 import FinishReason
from headgate.common.v1 import usage_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.telemetry.masking import Masking
from services.router.providers.deltas import Deltas
from services.router.providers.failures import NO_ERROR, check_reported, from_event, interrupted, malformed
from services.router.providers.json_text import LOOKED_AT_BYTES, UNREADABLE, Count, check_items
from services.router.targets.provider import Chunk, ProviderError

FINISH_REASONS = {
    "end_turn": FinishReason.FINISH_REASON_STOP,
    "stop_sequence": FinishReason.FINISH_REASON_STOP,
    "max_tokens": FinishReason.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": FinishReason.FINISH_REASON_LENGTH,
    "tool_use": FinishReason.FINISH_REASON_TOOL_CALLS,
    "refusal": FinishReason.FINISH_REASON_REFUSAL,
}
_EMPTY_INPUT = msgspec.Raw(b"{}")
_CHARACTERS_PER_TOKEN = 4


class OutputDetails(Struct, gc=False):
    thinking_tokens: Count | None = None


class Usage(Struct, gc=False):
    """Totals so far; an event that leaves a count out leaves it as it was."""

    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens: Count | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: Any = None


class Block(Struct, gc=False):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = _EMPTY_INPUT


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
    stop_reason: str | None = None


class Event(Struct, gc=False):
    """Any event of a stream; unknown ones have only their type."""

    type: str
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Message | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NO_ERROR


class Body(Message, gc=False):
    type: str = ""
    error: msgspec.Raw = NO_ERROR


_EVENTS = msgspec.json.Decoder(Event)
_BODIES = msgspec.json.Decoder(Body)


class AnthropicReader:
    """For one answer."""

    def __init__(self, masking: Masking) -> None:
        self.whole = False
        self.failure: ProviderError | None = None
        self._masking = masking
        self._stopped = False
        self._counts = _Counts()
        self._pieces = 0
        self._call_by_block: dict[int, int] = {}

    def read_events(self, events: list[bytes]) -> Chunk | None:
        deltas = Deltas(self._masking)
        self._counts.told = False
        try:
            for event in events:
                if len(event) > LOOKED_AT_BYTES:
                    check_items(event)
                self._take(_EVENTS.decode(event), deltas)
        except UNREADABLE as error:
            self.failure = malformed("an event that is not the protocol's", error)
        except ProviderError as error:
            self.failure = error
        self._pieces += deltas.pieces
        happened = deltas.flush()
        usage = self._counts.usage() if self._counts.told else None
        if not happened and not usage:
            return None
        return Chunk(happened, usage, deltas.pieces, deltas.characters, self._counts.tier)

    def end_of_stream(self) -> None:
        raise interrupted("the stream ended without message_stop")

    def read_body(self, body: bytes) -> Chunk:
        try:
            check_items(body)
            message = _BODIES.decode(body)
        except UNREADABLE as error:
            raise malformed("an answer that is not the protocol's", error) from None
        check_reported(message.error)
        if message.type != "message":
            raise malformed("an answer that is no message")
        deltas = Deltas(self._masking)
        for index, block in enumerate(message.content):
            self._open(index, block, deltas, whole=True)
        if message.usage is not None:
            self._counts.take(message.usage, final=True)
        self._stop(message.stop_reason, deltas)
        self._end()
        usage = self._counts.usage() if self._counts.told else None
        pieces = _estimated_tokens(message)
        return Chunk(deltas.flush(), usage, pieces, deltas.characters, self._counts.tier)

    def _take(self, event: Event, deltas: Deltas) -> None:
        match event.type:
            case "content_block_delta" if event.delta is not None:
                self._add(event.index, event.delta, deltas)
            case "content_block_start" if event.content_block is not None:
                self._open(event.index, event.content_block, deltas)
            case "message_start" if event.message is not None and event.message.usage is not None:
                self._counts.take(event.message.usage, final=False)
            case "message_delta":
                if event.usage is not None:
                    self._counts.take(event.usage, final=True)
                if event.delta is not None:
                    self._stop(event.delta.stop_reason, deltas)
            case "message_stop":
                self._end()
                self._counts.settle(self._pieces + deltas.pieces)
            case "error":
                check_reported(event.error)
                raise from_event(None)

    def _add(self, block: int, delta: Delta, deltas: Deltas) -> None:
        if delta.text:
            deltas.add("text", 0, delta.text)
        elif delta.thinking:
            deltas.add("reasoning", 0, delta.thinking)
        elif delta.partial_json:
            call = self._call_by_block.get(block)
            if call is None:
                raise malformed("arguments of a tool call that never began")
            fragment = delta.partial_json
            deltas.tool_call(0, completion_pb2.ToolCallDelta(index=call, arguments_fragment=fragment))
        elif delta.signature:
            deltas.whole_reasoning(0, message_pb2.Reasoning(signature=delta.signature))

    def _open(self, index: int, block: Block, deltas: Deltas, *, whole: bool = False) -> None:
        """A block begins, empty except where it is `whole`; of other blocks than these Headgate asks for none."""
        match block.type:
            case "text" if block.text:
                deltas.add("text", 0, block.text)
            case "thinking" if block.thinking or block.signature:
                said = message_pb2.Reasoning(text=block.thinking, signature=block.signature)
                deltas.whole_reasoning(0, said)
            case "redacted_thinking":
                deltas.whole_reasoning(0, message_pb2.Reasoning(redacted_data=block.data))
            case "tool_use":
                call = self._call_by_block[index] = len(self._call_by_block)
                arguments = bytes(block.input).decode() if whole else ""
                piece = completion_pb2.ToolCallDelta(
                    index=call, id=block.id, name=block.name, arguments_fragment=arguments
                )
                deltas.tool_call(0, piece)

    def _stop(self, reason: str | None, deltas: Deltas) -> None:
        if reason is not None and not self._stopped:
            self._stopped = True
            deltas.finished(0, FINISH_REASONS.get(reason, FinishReason.FINISH_REASON_OTHER), reason)

    def _end(self) -> None:
        if not self._stopped:
            raise interrupted("the answer ended without a stop reason")
        self.whole = True


class _Counts:
    """The provider's counts so far. Its input leaves out what the prompt cache read and wrote; Headgate's holds it."""

    def __init__(self) -> None:
        self.told = False
        self.tier = ""
        self._started = self._final = False
        self._input = self._written = self._read = self._output = self._thinking = 0

    def take(self, usage: Usage, *, final: bool) -> None:
        self.told = self._started = True
        if isinstance(usage.service_tier, str):
            self.tier = usage.service_tier
        self._final = self._final or (final and usage.output_tokens is not None)
        self._input = _newer(usage.input_tokens, self._input)
        self._written = _newer(usage.cache_creation_input_tokens, self._written)
        self._read = _newer(usage.cache_read_input_tokens, self._read)
        self._output = _newer(usage.output_tokens, self._output)
        if usage.output_tokens_details is not None:
            self._thinking = _newer(usage.output_tokens_details.thinking_tokens, self._thinking)

    def settle(self, pieces: int) -> None:
        """The end of an answer whose input was counted and whose output, against the protocol, was not."""
        if self._started and not self._final:
            self.told = True
            self._output = max(self._output, pieces)

    def usage(self) -> usage_pb2.TokenUsage:
        inputs = self._input + self._written + self._read
        source = usage_pb2.USAGE_SOURCE_PROVIDER if self._final else usage_pb2.USAGE_SOURCE_ESTIMATED
        return usage_pb2.TokenUsage(
            input_tokens=inputs,
            output_tokens=self._output,
            cache_read_input_tokens=self._read,
            cache_write_input_tokens=self._written,
            reasoning_output_tokens=min(self._thinking, self._output),
            total_tokens=inputs + self._output,
            source=source,
        )


def _newer(told: int | None, known: int) -> int:
    return known if told is None else told


def _estimated_tokens(message: Message) -> int:
    """A whole answer has no pieces to count."""
    blocks = message.content
    characters = sum(len(b.text) + len(b.thinking) + len(b.name) for b in blocks)
    characters += sum(len(bytes(b.input)) for b in blocks if b.type == "tool_use")
    return -(-characters // _CHARACTERS_PER_TOKEN)
