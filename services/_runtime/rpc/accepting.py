"""A gRPC server that takes calls as they come, however busy its event loop is."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

CALLS_ASKED_FOR = 4
"""So many calls begin together at the most. With eight a busy router takes a tenth less CPU for a short request, and among
1,000 paced streams some wait two tenths of a second longer for a token."""


def make_server(
    interceptors: Sequence[grpc.aio.ServerInterceptor], options: Sequence[tuple[str, Any]]
) -> grpc.aio.Server:
    """As `grpc.aio.server`, but for how it takes calls.

    gRPC's own asks its core for one call, and for the next about five turns of the event loop after that one came. On a
    loop that is busy with streams a turn is long, and most of a request's time passes before anybody looks at it, while
    those that are served are too few to share batches, reads and messages. There is no public way to ask for more.

    From 1.84 on it also takes a task, two more turns and a new wait for each call. Here calls come without a task. (Before
    1.84 the serving loop does not come by here at all.) This module can go once gRPC has several calls asked for and takes
    them without a task; its pull request 43461 does the second, and will need another door: the tests of this module fail then.
    """
    plain, cygrpc.AioServer = cygrpc.AioServer, _Server
    try:
        return grpc.aio.server(interceptors=interceptors, options=options)
    finally:
        cygrpc.AioServer = plain


class _Server(cygrpc.AioServer):  # type: ignore[misc]
    """Has `CALLS_ASKED_FOR` calls asked for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._door = _Door()

    def _make_request_call_future(self, method: bytes | None) -> Any:
        """The next call; gRPC's serving loop waits for it, begins its handler, and comes back for one more."""
        if method is not None:
            return super()._make_request_call_future(method)
        while len(self._door) < CALLS_ASKED_FOR:
            self._door.ask(self._request_call())
        return self._door

    async def _start_shutting_down(self) -> None:
        await super()._start_shutting_down()
        await self._door.close()


class _Door:
    """Calls that were asked for, in their order, which is that in which core fills them.

    To gRPC's serving loop, which waits for one thing at a time, it is a future: done while a call stands there. Who waits
    for one that is here already goes on at once, not in a later turn of the loop.
    """

    def __init__(self) -> None:
        self._asked: deque[tuple[asyncio.Future[Any], Coroutine[Any, Any, Any]]] = deque()
        self._waiting: Callable[[_Door], object] | None = None

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, asking: Coroutine[Any, Any, Any]) -> None:
        """`asking` waits for nothing but the future that core completes; then its result is the call."""
        asked = asking.send(None)
        asked.add_done_callback(self._knock)
        self._asked.append((asked, asking))

    def _knock(self, _asked: object) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.add_done_callback(waiting)

    def done(self) -> bool:
        return bool(self._asked) and self._asked[0][0].done()

    def result(self) -> Any:
        _, asking = self._asked.popleft()
        try:
            asking.send(None)
        except StopIteration as ended:
            return ended.value
        raise asyncio.InvalidStateError("grpc.aio waits for more than a call")

    def add_done_callback(self, callback: Callable[["_Door"], object]) -> None:
        if self.done():
            callback(self)
        else:
            self._waiting = callback

    def remove_done_callback(self, _callback: object) -> None:
        self._waiting = None

    def cancel(self) -> None:
        for asked, _ in self._asked:
            asked.cancel()

    def __await__(self) -> Iterator[None]:
        """To gather what it waited for, once the serving loop has ended."""
        return iter(())

    async def close(self) -> None:
        await asyncio.gather(*(asked for asked, _ in self._asked), return_exceptions=True)
        self._asked.clear()
