"""One request and its answer, streamed or whole: what the APIs have in common."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from yarl import URL

from services.router.holding import Share
from services.router.providers.answer import HttpAnswer, hold
from services.router.providers.failures import from_event, malformed, read_error
from services.router.providers.pool import Pool
from services.router.providers.sse import EventTooLargeError, SseParser
from services.router.targets.provider import Chunk, ProviderError

_JSON = "application/json"
# Servers that leave the type out are seen by the client as sending octets.
_STREAM_TYPES = frozenset({"text/event-stream", "application/octet-stream"})


class AnswerReader(Protocol):
    """Turns an API's events into chunks, for one answer."""

    whole: bool
    """The provider has said that the answer is whole: nothing that follows counts."""
    failure: ProviderError | None
    """Why the last event could not be read, or the error that it reported; the events before it are valid."""

    def read_events(self, events: list[bytes]) -> Chunk | None:
        """What the events bring, perhaps nothing yet; None when they are only pings. Stops at a failure."""

    def end_of_stream(self) -> None:
        """:raises ProviderError: the stream ended before the answer was whole"""

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
        await _check_is_stream(answer, asked.share)
        answer.waits_for = f"no token within {timeouts.first_token:g} s"
        gap = f"nothing followed within {timeouts.between_tokens:g} s"
        parser = SseParser()
        begun = False
        while not reader.whole:
            read = await answer.read()
            if not read:
                reader.end_of_stream()
                return
            chunk = reader.read_events(_events(parser, read))
            hold(asked.share, parser.pending_bytes)
            if chunk is not None:
                begun = begun or chunk.output_pieces > 0
                if chunk.events or chunk.usage is not None:
                    yield chunk
                if begun:
                    answer.expect_within(timeouts.between_tokens, gap)
            if reader.failure is not None:
                raise reader.failure
        await answer.finish()
    finally:
        asked.share.hold(0)
        answer.close()


async def whole(pool: Pool, asked: Question, reader: AnswerReader) -> AsyncGenerator[Chunk, None]:
    try:
        chunk = reader.read_body(await fetch(pool, asked, pool.timeouts.whole_answer))
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


async def _check_is_stream(answer: HttpAnswer, share: Share) -> None:
    """Some servers report a failure as plain JSON under status 200."""
    if answer.content_type in _STREAM_TYPES:
        return
    if answer.content_type == _JSON:
        error: Any = read_error(await answer.read_whole(share))
        if error.message:
            raise from_event({"message": error.message, "type": next(iter(error.words), None)})
    raise malformed("expected a stream of events, got another content type", answer.content_type)
