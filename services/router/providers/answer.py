"""An HTTP answer being read, under a deadline for each wait."""

import asyncio

import aiohttp

from services._runtime.process.watchdog import Watchdog
from services.router.holding import Share
from services.router.targets.provider import FailureKind, ProviderError

LARGEST_BODY_BYTES = 16 * 1024 * 1024
LARGE_BYTES = 1024 * 1024
# How long a connection may take to show its end after the answer is whole; then it is closed instead of reused.
_TAIL_SECONDS = 0.1


def hold(share: Share, size: int) -> None:
    """So much of an answer is here, and not yet read.

    :raises ProviderError: NO_ROOM, when it is large and others need the room
    """
    share.hold(size)
    if size > LARGE_BYTES and share.is_tight:
        message = (
            f"an answer of more than {LARGE_BYTES} bytes, while too many bytes of answers wait in this router"
        )
        raise ProviderError(FailureKind.NO_ROOM, message)


class HttpAnswer:
    """`deadline` is for the next wait, in the loop's time; whoever reads moves it."""

    __slots__ = ("_content", "_loop", "_response", "_watchdog", "deadline", "waits_for")

    def __init__(
        self, response: aiohttp.ClientResponse, loop: asyncio.AbstractEventLoop, deadline: float
    ) -> None:
        self._response = response
        self._content = response.content
        self._loop = loop
        # Closing the connection wakes the read that waits for it.
        self._watchdog = Watchdog(loop, response.close)
        self.deadline = deadline
        self.waits_for = "no answer in time"

    @property
    def now(self) -> float:
        return self._loop.time()

    @property
    def content_type(self) -> str:
        return self._response.content_type

    def expect_within(self, seconds: float, waits_for: str) -> None:
        self.deadline = self._loop.time() + seconds
        self.waits_for = waits_for

    def shows_life(self, seconds: float, at_the_latest: float) -> None:
        """The wait begins anew, and ends `at_the_latest`, in the loop's time."""
        self.deadline = max(self.deadline, min(self._loop.time() + seconds, at_the_latest))

    async def read(self) -> bytes:
        """What has arrived, at least one byte; empty at the end.

        :raises ProviderError: TIMEOUT at the deadline, INTERRUPTED when the connection breaks
        """
        self._watchdog.watch(self.deadline)
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            if left := self._left():
                return left
            raise self._failure(error) from error
        finally:
            self._watchdog.rest()

    async def read_whole(self, share: Share) -> bytes:
        """The body.

        :raises ProviderError: as `read`; MALFORMED when it is larger than any answer, NO_ROOM when it is as `hold` says
        """
        parts: list[bytes] = []
        size = 0
        while part := await self.read():
            parts.append(part)
            size += len(part)
            if size > LARGEST_BODY_BYTES:
                message = f"an answer of more than {LARGEST_BODY_BYTES} bytes"
                raise ProviderError(FailureKind.MALFORMED, message)
            hold(share, size)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def finish(self) -> None:
        """Read what follows the end of the answer, so that the connection can be reused."""
        if not self._content.at_eof():
            self.expect_within(_TAIL_SECONDS, "no end of the connection")
            try:
                while await self.read():
                    pass
            except ProviderError:
                self._response.close()

    def close(self) -> None:
        """Without waiting: a connection with an unread rest is closed, one without is already back in the pool."""
        self._watchdog.dismiss()
        self._response.close()

    def _left(self) -> bytes:
        """What arrived before the connection broke: aiohttp would withhold it, yet the provider bills it."""
        return self._content._read_nowait(-1) if self._content._buffer else b""  # noqa: SLF001

    def _failure(self, error: Exception) -> ProviderError:
        if self._watchdog.barked:
            return ProviderError(FailureKind.TIMEOUT, self.waits_for)
        said = str(error) or type(error).__name__
        return ProviderError(FailureKind.INTERRUPTED, "the connection broke", said=said)
