"""Batches to a peer over one stream, each answered before the next: a third of what a batch costs as a call of its own."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import grpc

from services._runtime.calling.channel import MAX_MESSAGE_BYTES
from services._runtime.calling.timeouts import awake_timeout

RENEWAL_SECONDS = 1.0


class Exchange:
    """Called as a unary multicallable is, one call at a time; its calls travel over one stream as long as that lasts.

    A stream is given up after `renewal_seconds`, and the next is opened by the next of `openers`: so the calls spread over
    the peer's replicas as they come and go, and over the workers that its connections lead to, and no idle stream delays
    a peer's end. A call that gets no answer in its time ends the stream too: answers come in the
    order of the requests, and a later one must not be taken for it. A call is never repeated here. `max_message_bytes` is
    what the channels send at most.
    """

    def __init__(
        self,
        openers: Sequence[Callable[..., Any]],
        metadata: Sequence[tuple[str, str]] = (),
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        renewal_seconds: float = RENEWAL_SECONDS,
    ) -> None:
        self._openers = cycle(openers)
        self._metadata = tuple(metadata)
        self._max_message_bytes = max_message_bytes
        self._renewal_seconds = renewal_seconds
        self._stream: Any = None
        self._is_used = False
        self._is_old = False
        self._endings: set[asyncio.Task[None]] = set()

    async def __call__(self, request: Any, *, timeout: float, metadata: object = None) -> Any:  # noqa: ASYNC109, ARG002
        """The answer to `request` within `timeout` seconds. What metadata would say, the request says itself.

        :raises grpc.aio.AioRpcError: the peer's status, UNAVAILABLE when it can't be reached or went away meanwhile,
            RESOURCE_EXHAUSTED when the request is too large to be sent, or DEADLINE_EXCEEDED.
        """
        stream = self._stream
        if stream is None or stream.done():
            # One that ended between two calls owes nothing: its end is no failure of this one.
            stream = self._begin()
        self._is_used = True
        # Begun before the write: the answer does not wait for the loop to hear first that the message has left.
        reading = asyncio.ensure_future(stream.read())
        reading.add_done_callback(_retrieve)
        try:
            async with awake_timeout(timeout):
                await self._write(stream, request)
                answer = await reading
        except TimeoutError:
            self._give_up(stream)
            raise _error(grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer in {timeout:.3f} s") from None
        except BaseException:
            self._give_up(stream)
            raise
        if answer is grpc.aio.EOF:
            self._give_up(stream)
            raise _error(grpc.StatusCode.UNAVAILABLE, "the peer ended the stream before it answered")
        self._is_used = False
        if self._is_old:
            self._renew(stream)
        return answer

    async def _write(self, stream: Any, request: Any) -> None:
        try:
            await stream.write(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INTERNAL:
                raise
            raise await self._reason(stream, request) from None

    async def _reason(self, stream: Any, request: Any) -> grpc.aio.AioRpcError:
        """Why a write failed. gRPC calls each such failure INTERNAL, whatever the peer said, or core of the message."""
        if (size := request.ByteSize()) > self._max_message_bytes:
            return _error(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"a message of {size} bytes can't be sent; {self._max_message_bytes} are the most",
            )
        if (code := await stream.code()) is grpc.StatusCode.INTERNAL:
            return _error(grpc.StatusCode.UNAVAILABLE, "the peer went away before it was asked")
        return _error(code, await stream.details())

    def _begin(self) -> Any:
        stream = self._stream = next(self._openers)(metadata=self._metadata)
        self._is_old = False
        asyncio.get_running_loop().call_later(self._renewal_seconds, self._grow_old, stream)
        return stream

    def _grow_old(self, stream: Any) -> None:
        if self._stream is not stream:
            return
        self._is_old = True
        if not self._is_used:
            self._renew(stream)

    def _renew(self, stream: Any) -> None:
        self._stream = None
        ending = asyncio.get_running_loop().create_task(_end(stream))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    def _give_up(self, stream: Any) -> None:
        self._stream = None
        self._is_used = False
        stream.cancel()


def _retrieve(reading: "asyncio.Future[Any]") -> None:
    # When the write fails nobody asks how the read ended, and that is no unhandled error.
    if not reading.cancelled():
        reading.exception()


async def _end(stream: Any) -> None:
    try:
        await stream.done_writing()
        await stream.read()
    except (grpc.aio.AioRpcError, grpc.aio.InternalError):
        return  # it had ended already


def _error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
