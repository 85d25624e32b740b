"""One request and its answer, streamed or whole: what the APIs have in common."""

import re
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from yarl import URL

from services.router.holding import Share
from services.router.providers.answer import HttpAnswer, hold
from services.router.providers.failures import malformed
from services.router.providers.pool import Pool
from services.router.providers.sse import EventTooLargeError, SseParser
from services.router.targets.declaration import Timeouts
from services.router.targets.provider import Chunk, FailureKind, ProviderError

_JSON_BEGINS = (b"{", b"[")
_EVENTS = re.compile(rb"\s*(?:data|event|id|retry)?:")
_ENOUGH = 1024
# Servers that leave the type out are seen by the client as sending octets.
_STREAM_TYPES = frozenset({"text/event-stream", "application/octet-stream"})


class AnswerReader(Protocol):
    """Turns an API's events into chunks, for one answer."""

    whole: bool
    """The provider has said that the answer is whole: nothing that follows counts."""
    failure: ProviderError | None
    """Why the last event could not be read, or the error that it reported; the events before it are valid."""

    @property
    def held(self) -> int:
        """Characters that came, and wait for others to be told."""

    @property
    def finished(self) -> bool:
        """Every choice has its end: what may still come is usage, and who needs not wait for it may `finish`."""

    def read_events(self, events: list[bytes]) -> Chunk | None:
        """What the events bring, perhaps nothing yet; None when they are only pings. Stops at a failure."""

    def finish(self) -> Chunk:
        """Nothing more will come: the end, where it was not told.

        :raises ProviderError: INTERRUPTED, the stream ended before the answer was whole
        """

    def read_body(self, body: bytes) -> Chunk:
        """An unstreamed answer.

        :raises ProviderError: a body that is not the protocol's, or an answer that is not whole
        """


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent where; `encode` may fail as the request itself does. `share` is of whoever reads the answer."""

    url: URL
    encode: Callable[[], bytes]
    request_id: str
    share: Share


async def stream(pool: Pool, asked: Question, reader: AnswerReader) -> AsyncGenerator[Chunk, None]:
    timeouts = pool.timeouts
    answer = await pool.post(asked.url, asked.encode(), asked.request_id, timeouts.first_token)
    try:
        answer.waits_for = f"no token within {timeouts.first_token:g} s"
        read = await _begin(answer)
        if read.lstrip()[:1] in _JSON_BEGINS:
            answer.expect_within(timeouts.whole_answer, f"no whole answer within {timeouts.whole_answer:g} s")
            yield reader.read_body(read + await answer.read_whole(asked.share))
            return
        parser = SseParser()
        patience = _Patience(answer, timeouts)
        while read:
            chunk = reader.read_events(_events(parser, read))
            hold(asked.share, parser.pending_bytes + reader.held)
            if chunk is not None and (chunk.events or chunk.usage is not None or chunk.output_pieces):
                yield chunk
            patience.take(chunk)
            if reader.failure is not None:
                raise reader.failure
            if reader.whole:
                await answer.finish()
                return
            read = await _next(answer, reader)
        for chunk in _last(parser, reader):
            yield chunk
    finally:
        asked.share.hold(0)
        answer.close()


class _Patience:
    """How long the next wait of a stream may take."""

    def __init__(self, answer: HttpAnswer, timeouts: Timeouts) -> None:
        self._answer = answer
        self._timeouts = timeouts
        self._gap = f"nothing followed within {timeouts.between_tokens:g} s"
        self._has_tokens = False
        self._only_life_since: float | None = answer.now

    def take(self, chunk: Chunk | None) -> None:
        """Something came: tokens, or signs of life."""
        timeouts = self._timeouts
        if chunk is not None and (chunk.output_pieces or self._has_tokens):
            self._has_tokens, self._only_life_since = True, None
            self._answer.expect_within(timeouts.between_tokens, self._gap)
        elif timeouts.only_pings is not None:
            if self._only_life_since is None:
                self._only_life_since = self._answer.now
            wait = timeouts.between_tokens if self._has_tokens else timeouts.first_token
            self._answer.shows_life(wait, self._only_life_since + timeouts.only_pings)


async def whole(pool: Pool, asked: Question, reader: AnswerReader) -> AsyncGenerator[Chunk, None]:
    try:
        body = await fetch(pool, asked, pool.timeouts.whole_answer)
        is_stream = body[:1] not in _JSON_BEGINS and _EVENTS.match(body)
        chunk = whole_of(body, reader) if is_stream else reader.read_body(body)
    finally:
        asked.share.hold(0)
    yield chunk


async def fetch(pool: Pool, asked: Question, seconds: float) -> bytes:
    """A body, which the share holds then.

    :raises ProviderError: any failure to get a whole answer within `seconds`
    """
    answer = await pool.post(asked.url, asked.encode(), asked.request_id, seconds)
    try:
        answer.waits_for = f"no whole answer within {seconds:g} s"
        return await answer.read_whole(asked.share)
    finally:
        answer.close()


def _events(parser: SseParser, read: bytes) -> list[bytes]:
    try:
        return parser.feed(read)
    except EventTooLargeError as error:
        raise malformed(str(error)) from None


async def _begin(answer: HttpAnswer) -> bytes:
    """The first bytes, enough to see that they are events or JSON, whatever their type says.

    :raises ProviderError: MALFORMED, when they are neither
    """
    read = await answer.read()
    if answer.content_type in _STREAM_TYPES:
        return read
    while len(read) < _ENOUGH and b"\n" not in read and (more := await answer.read()):
        read += more
    if read.lstrip()[:1] in _JSON_BEGINS or _EVENTS.match(read):
        return read
    raise malformed("expected a stream of events, got another content type", answer.content_type)


async def _next(answer: HttpAnswer, reader: AnswerReader) -> bytes:
    """What comes next; nothing at the end, or where the connection fails after all that was to be said."""
    try:
        return await answer.read()
    except ProviderError:
        if not reader.finished:
            raise
        return b""


def _last(parser: SseParser, reader: AnswerReader) -> Iterator[Chunk]:
    """Of a stream that has ended: an event whose end is missing, and the end of the answer.

    :raises ProviderError: it was not whole
    """
    chunk = reader.read_events(parser.finish())
    if chunk is not None:
        yield chunk
    if reader.failure is not None and reader.failure.kind is not FailureKind.MALFORMED:
        raise reader.failure
    if not reader.whole:
        yield reader.finish()


def whole_of(body: bytes, reader: AnswerReader) -> Chunk:
    """A stream that came where a whole answer was asked for."""
    parser = SseParser(len(body))
    whole = reader.read_events(parser.feed(body)) or Chunk()
    rest = () if reader.whole or reader.failure is not None else _last(parser, reader)
    for chunk in rest:
        whole = Chunk(
            whole.events + chunk.events,
            chunk.usage or whole.usage,
            whole.output_pieces + chunk.output_pieces,
            whole.characters + chunk.characters,
            chunk.service_tier or whole.service_tier,
        )
    if reader.failure is not None and not reader.whole:
        raise reader.failure
    return whole
