"""Paced batching: calls to one peer leave together in one RPC."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from services._runtime import context
from services._runtime.calling.pace import MIN_SECONDS
from services._runtime.context import RequestContext
from services._runtime.errors import GatewayError, InternalError, PeerUnavailableError

Req = TypeVar("Req")
Res = TypeVar("Res")
Send = Callable[[list[Req]], Awaitable[Sequence[Res | GatewayError]]]
PATIENCE_SECONDS = 0.02
_NEVER = float("inf")


class _Call(Generic[Req, Res]):
    __slots__ = ("context", "is_patient", "request", "result")

    def __init__(self, request: Req, result: "asyncio.Future[Res]", *, is_patient: bool) -> None:
        self.request = request
        self.result = result
        self.is_patient = is_patient
        self.context = context.current()


class PacedBatcher(Generic[Req, Res]):
    """Sends calls in batches of at most `max_size`, one batch in flight at a time.

    - An idle batcher sends at once (with whatever else was called in the same turn of the loop).
    - While a batch is in flight further calls queue and leave together when it returns.
    - When the last batch carried more than one call, the next leaves no sooner than `pace()` seconds after the last one
      *left*, unless `max_size` calls wait: a full batch gains nothing by waiting, so it leaves at once.
    - A patient call leaves with the next that is not, or after `PATIENCE_SECONDS`. Together, one of each count as one: so
      the end of a request leaves with the begin of the next, and neither is paced.
    - `send` gets the requests in order and returns one result each; a result that is a GatewayError is raised to its
      caller. When `send` raises, exactly the calls of that batch raise the same.
    - A caller that is cancelled while queued is not sent; cancelled in flight, its result is dropped.
    - While `send` runs, `context.current()` continues the trace of the first sampled caller, and its `links` name the
      other sampled ones. It has no deadline: no caller's may cut short the others.
    - `on_departure` is told the size of each batch that leaves and how many calls stay in the queue.
    """

    def __init__(
        self,
        send: Send[Req, Res],
        max_size: int = 64,
        pace: Callable[[], float] = lambda: MIN_SECONDS,
        *,
        on_departure: Callable[[int, int], None] = lambda _size, _queued: None,
    ) -> None:
        self._send = send
        self._on_departure = on_departure
        self._max_size = max_size
        self._pace = pace
        self._queue: deque[_Call[Req, Res]] = deque()
        self._flight: asyncio.Task[Sequence[Res | GatewayError]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._not_before = 0.0
        self._due = _NEVER
        self._closed = False
        self._drained: asyncio.Event | None = None

    @property
    def queued(self) -> int:
        return len(self._queue)

    async def call(self, request: Req) -> Res:
        """The peer's answer to `request`.

        :raises GatewayError: the peer's refusal, or the failure of the batch.
        :raises PeerUnavailableError: the batcher is closed.
        """
        return await self.submit(request)

    def submit(self, request: Req, *, is_patient: bool = False) -> "asyncio.Future[Res]":
        """As `call`, begun at once and without a coroutine of its own; somebody has to await the answer."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Res] = loop.create_future()
        if self._closed:
            result.set_exception(PeerUnavailableError("the process is shutting down"))
            return result
        self._queue.append(_Call(request, result, is_patient=is_patient))
        self._due = min(self._due, loop.time() + PATIENCE_SECONDS) if is_patient else 0.0
        if self._flight is None:
            self._depart(loop)
        return result

    async def close(self, *, drain_seconds: float = 0.0) -> None:
        """Refuse new calls, give the waiting ones `drain_seconds`, then fail those that are left."""
        self._closed = True
        if drain_seconds > 0 and (self._queue or self._flight):
            await self._drain(drain_seconds)
        if self._timer is not None:
            self._timer.cancel()
        self._fail(tuple(self._queue), PeerUnavailableError("the process is shutting down"))
        self._queue.clear()
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])

    async def _drain(self, seconds: float) -> None:
        self._drained = asyncio.Event()
        self._pace = lambda: 0.0
        self._not_before = self._due = 0.0
        if self._flight is None:
            self._depart(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(seconds):
                await self._drained.wait()
        except TimeoutError:
            return

    def _depart(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start a flight now, or set the timer for the earliest moment at which one may start."""
        earliest = max(self._not_before, self._due)
        is_early = loop.time() < earliest and len(self._queue) < self._max_size
        if self._timer is not None:
            if is_early and self._timer_at <= earliest:
                return
            self._timer.cancel()
            self._timer = None
        if is_early:
            self._timer, self._timer_at = loop.call_at(earliest, self._on_timer, loop), earliest
            return
        batch: list[_Call[Req, Res]] = []
        # The flight has a context of its own: entering the batch's there leaves the caller's alone.
        self._flight = loop.create_task(self._fly(batch, loop), context=contextvars.copy_context())
        self._flight.add_done_callback(lambda task: self._land(task, batch, loop))

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._flight is None and self._queue:
            self._not_before = self._due = 0.0
            self._depart(loop)

    async def _fly(
        self, batch: list[_Call[Req, Res]], loop: asyncio.AbstractEventLoop
    ) -> Sequence[Res | GatewayError]:
        # The batch is taken here, a turn of the loop after the first call, so that calls of one turn share it.
        while self._queue and len(batch) < self._max_size:
            call = self._queue.popleft()
            if not call.result.done():
                batch.append(call)
        self._due = 0.0 if self._queue else _NEVER
        patient = sum(call.is_patient for call in batch)
        is_shared = max(patient, len(batch) - patient) > 1
        self._not_before = loop.time() + self._pace() if is_shared else 0.0
        if not batch:
            return ()
        self._on_departure(len(batch), len(self._queue))
        context.enter(_batch_context(batch))
        return await self._send([call.request for call in batch])

    def _land(
        self,
        flight: "asyncio.Task[Sequence[Res | GatewayError]]",
        batch: list[_Call[Req, Res]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._flight = None
        if flight.cancelled():
            self._fail(batch, PeerUnavailableError("the process is shutting down"))
        elif (failure := flight.exception()) is not None:
            self._fail(batch, failure)
        else:
            self._deliver(batch, flight.result())
        if self._queue:
            self._depart(loop)
        elif self._drained is not None:
            self._drained.set()

    def _deliver(self, batch: list[_Call[Req, Res]], results: Sequence[Res | GatewayError]) -> None:
        if len(results) != len(batch):
            self._fail(batch, InternalError(f"{len(batch)} calls got {len(results)} results"))
            return
        for call, result in zip(batch, results, strict=True):
            if call.result.done():
                continue
            if isinstance(result, GatewayError):
                _raise_in(call.result, result)
            else:
                call.result.set_result(result)

    @staticmethod
    def _fail(batch: Sequence[_Call[Req, Res]], failure: BaseException) -> None:
        for call in batch:
            if not call.result.done():
                _raise_in(call.result, failure)


def _raise_in(result: "asyncio.Future[Res]", failure: BaseException) -> None:
    result.set_exception(failure)
    result.exception()  # a caller cancelled in this same turn will not ask, and that is no unhandled error


def _batch_context(batch: Sequence[_Call[Req, Res]]) -> RequestContext:
    callers = [call.context for call in batch]
    parent = next((caller for caller in callers if caller.sampled), callers[0])
    others = [caller for caller in callers if caller.sampled and caller is not parent]
    return RequestContext(
        request_id=parent.request_id,
        trace_id=parent.trace_id,
        span_id=parent.span_id,
        sampled=parent.sampled,
        links=tuple((caller.trace_id, caller.span_id) for caller in others),
    )
