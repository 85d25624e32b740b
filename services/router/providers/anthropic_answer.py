"""Reads answers of Anthropic's Messages API, streamed and whole."""

import msgspec

from headgate.chat.v1 import message_pb2
from services._runtime.telemetry.masking import Masking
from services.router.providers import tolerance
from services.router.providers.anthropic_citations import Citations
from services.router.providers.anthropic_shapes import Block, Body, Delta, Event, Message, OddEvent, prepare
from services.router.providers.anthropic_usage import Counts
from services.router.providers.deltas import Deltas, Kind
from services.router.providers.failures import (
    check_named,
    check_reported,
    from_event,
    interrupted,
    malformed,
    nothing_said,
)
from services.router.providers.finish_reasons import (
    STOP,
    TOOL_CALLS,
    UNSPECIFIED,
    Reason,
    reason_of,
    says_more,
)
from services.router.providers.halves import Halves
from services.router.providers.json_text import LOOKED_AT_BYTES, UNREADABLE, check_items
from services.router.providers.sse import NamedEvent
from services.router.providers.tool_calls import ToolCalls
from services.router.targets.provider import Chunk, ProviderError

_DONE = (b"[DONE]", b"DONE")
_CHARACTERS_PER_TOKEN = 4
_UNKNOWN_END = UNSPECIFIED, ""
_TEXTS: dict[str, Kind] = {"text": "text", "reasoning": "reasoning"}
_EVENTS = msgspec.json.Decoder(Event)
_BODIES = msgspec.json.Decoder(Body)


class AnthropicReader:
    """For one answer."""

    def __init__(self, masking: Masking, provider: str) -> None:
        self.whole = False
        self.failure: ProviderError | None = None
        self._masking = masking
        self._provider = provider
        self._end_told: tuple[Reason, str] | None = None
        self._counts = Counts()
        self._pieces = 0
        self._calls = ToolCalls(0)
        self._citations = Citations()
        # Only answers that are read by `tolerance` can have any.
        self._halves: Halves | None = None

    @property
    def held(self) -> int:
        return self._calls.held

    @property
    def finished(self) -> bool:
        return self._end_told is not None

    def read_events(self, events: list[bytes]) -> Chunk | None:
        deltas = Deltas(self._masking, self._provider)
        try:
            for event in events:
                self._read(event, deltas)
                if self.whole:
                    break
        except UNREADABLE as error:
            # What follows the end is not needed.
            if not self.finished:
                self.failure = malformed("an event that is not the protocol's", error)
        except ProviderError as error:
            self.failure = error
        self._pieces += deltas.pieces
        chunk = self._chunk(deltas, deltas.pieces)
        return chunk if chunk.events or chunk.usage or chunk.output_pieces else None

    def finish(self) -> Chunk:
        if not self.finished:
            raise interrupted("the stream ended without a stop reason")
        deltas = Deltas(self._masking, self._provider)
        self._end(deltas)
        return self._chunk(deltas, 0)

    def read_body(self, body: bytes) -> Chunk:
        try:
            message = self._body(body)
        except UNREADABLE as error:
            raise malformed("an answer that is not the protocol's", error) from None
        check_reported(message.error)
        deltas = Deltas(self._masking, self._provider)
        self._take_whole(message, deltas)
        if not message.content and not self.finished:
            raise nothing_said(body)
        return self._chunk(deltas, -(-deltas.characters // _CHARACTERS_PER_TOKEN))

    def _read(self, text: bytes, deltas: Deltas) -> None:
        if len(text) > LOOKED_AT_BYTES:
            check_items(text)
        try:
            event = _EVENTS.decode(text)
        except UNREADABLE:
            self._read_oddly(text, deltas)
        else:
            if event.type == "message":
                self._read_oddly(text, deltas)
            self._take(event, deltas)

    def _read_oddly(self, text: bytes, deltas: Deltas) -> None:
        if text.strip(b' \t\r\n"').upper() in _DONE:
            self._done(deltas)
            return
        check_named(text)
        self._halves = self._halves or Halves()
        for event in tolerance.read(text, OddEvent, prepare):
            check_reported(event.error)
            if not event.type and isinstance(text, NamedEvent):
                event.type = text.name.decode("ascii", "replace")
            if event.type == "message":
                self._take_whole(Message(event.content, event.stop_reason, event.usage), deltas)
            else:
                self._take(event, deltas)

    def _body(self, text: bytes) -> Body:
        check_items(text)
        try:
            return _BODIES.decode(text)
        except UNREADABLE:
            self._halves = Halves()
            return next(iter(tolerance.read(text, Body, prepare)), Body())

    def _take(self, event: Event, deltas: Deltas) -> None:
        match event.type:
            case "content_block_delta" if event.delta is not None:
                self._add(event.index, event.delta, deltas)
            case "content_block_start" if event.content_block is not None:
                self._open(event.index, event.content_block, deltas)
            case "content_block_stop":
                self._close(event.index, deltas)
            case "message_start" if event.message is not None:
                self._counts.take(event.message.usage, final=False, pieces=0)
            case "message_delta":
                self._counts.take(event.usage, final=True, pieces=self._pieces + deltas.pieces)
                self._stop(event.delta.stop_reason if event.delta else None)
            case "message_stop":
                self._done(deltas)
            case "error":
                check_reported(event.error)
                raise from_event(None)

    def _add(self, block: int, delta: Delta, deltas: Deltas) -> None:
        if delta.text:
            self._say("text", delta.text, deltas)
        elif delta.thinking:
            self._say("reasoning", delta.thinking, deltas)
        elif delta.partial_json:
            if not self._calls.have_begun:
                raise malformed("arguments of a tool call that never began")
            self._call(block, Block(), delta.partial_json, deltas)
        elif delta.citation is not None:
            self._citations.cite(delta.citation)
        elif delta.signature:
            deltas.whole_reasoning(0, message_pb2.Reasoning(signature=delta.signature))

    def _open(self, index: int, block: Block, deltas: Deltas) -> None:
        """A block begins, in general empty; of other blocks than these Headgate asks for none."""
        match block.type:
            case "text":
                self._say("text", block.text, deltas)
                for each in block.citations or ():
                    self._citations.cite(each)
            case "thinking" if block.thinking or block.signature:
                self._say("reasoning", block.thinking, deltas)
                if block.signature:
                    deltas.whole_reasoning(0, message_pb2.Reasoning(signature=block.signature))
            case "redacted_thinking":
                deltas.whole_reasoning(0, message_pb2.Reasoning(redacted_data=block.data))
            case "tool_use":
                self._call(index, block, block.arguments, deltas)

    def _close(self, index: int, deltas: Deltas) -> None:
        self._calls.close(deltas, index)
        deltas.annotate(0, self._citations.end_block())

    def _say(self, kind: Kind, text: str, deltas: Deltas) -> None:
        if self._halves is not None:
            text = self._halves.join((kind, 0), text)
        if text:
            deltas.add(kind, 0, text)
        if kind == "text":
            self._citations.add_text(text)

    def _call(self, index: int, block: Block, arguments: str, deltas: Deltas) -> None:
        """What a block begins with counts only when no pieces follow."""
        if self._halves is not None:
            arguments = self._halves.join(("call", index), arguments)
        self._calls.take(
            deltas,
            index=index,
            call_id=block.id,
            name=block.name,
            arguments=arguments,
            is_tentative=bool(block.id or block.name),
        )

    def _stop(self, raw: str | None) -> None:
        """:raises ProviderError: it is no end, but a failure"""
        if raw:
            reason = reason_of(raw)
            if self._end_told is None or says_more(reason, self._end_told[0]):
                self._end_told = reason, raw

    def _take_whole(self, message: Message, deltas: Deltas) -> None:
        for index, block in enumerate(message.content):
            self._open(index, block, deltas)
            self._close(index, deltas)
        self._counts.take(message.usage, final=True, pieces=self._pieces + deltas.pieces)
        self._stop(message.stop_reason)
        self._end(deltas)

    def _done(self, deltas: Deltas) -> None:
        if not self.finished and not self._counts.is_final:
            raise interrupted("the answer ended with neither a stop reason nor its usage")
        self._end(deltas)

    def _end(self, deltas: Deltas) -> None:
        for (kind, _), rest in self._halves.left() if self._halves else ():
            if kind in _TEXTS:
                deltas.add(_TEXTS[kind], 0, rest)
        self._calls.close(deltas)
        deltas.annotate(0, self._citations.end_block())
        reason, raw = self._end_told or _UNKNOWN_END
        if reason == STOP and self._calls.are_told:
            reason = TOOL_CALLS
        deltas.finished(0, reason, raw)
        self._counts.settle(self._pieces + deltas.pieces)
        self.whole = True

    def _chunk(self, deltas: Deltas, pieces: int) -> Chunk:
        return Chunk(deltas.flush(), self._counts.usage(), pieces, deltas.characters, self._counts.tier)
