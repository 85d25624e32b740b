"""One request while it is served: what the pump produces and the RPC handler writes, and how the pump is stopped."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from headgate.common.v1 import cost_pb2, outcome_pb2, usage_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import completion_pb2
from services._runtime.errors import GatewayError
from services.router.answers.leg import Leg
from services.router.answers.merging import merged
from services.router.peers import Principal
from services.router.targets.routing import Plan

QUEUED_EVENTS = 256
KEPT_BYTES = 1024 * 1024
_KEPT = ("delta", "choice_finished")


class StoppedError(Exception):
    """The run was told to stop: its caller cancelled, its deadline passed, or the process ends."""


@dataclass(slots=True, eq=False)
class Run:
    """The state of one completion, from admission to settlement. Only its pump changes it, but for `stop`."""

    completion_id: str
    request: completion_pb2.CompletionRequest
    principal: Principal
    plan: Plan
    streamed: bool
    # Whether the cache is asked, and may keep the answer, as far as the request says.
    is_cacheable: bool
    keeps_events: bool
    started_at: float
    # Found by admission.
    reserved: bool = False
    hold_id: str = ""
    limit_statuses: list[ratelimit.LimitStatus] = field(default_factory=list)
    cache_key: bytes = b""
    hit: completion_pb2.CachedCompletion | None = None
    hit_stored_ns: int = 0
    # Grown by the pump.
    legs: list[Leg] = field(default_factory=list)
    kept: list[completion_pb2.CompletionEvent] = field(default_factory=list)
    cost: cost_pb2.Cost | None = None
    # Told when it is over.
    outcome: outcome_pb2.Outcome.ValueType = outcome_pb2.OUTCOME_UNSPECIFIED
    used: usage_pb2.TokenUsage = field(default_factory=usage_pb2.TokenUsage)
    error: GatewayError | None = None
    sent: int = 0
    task: asyncio.Task[None] | None = None
    stop_outcome: outcome_pb2.Outcome.ValueType = outcome_pb2.OUTCOME_UNSPECIFIED
    _kept_bytes: int = 0
    _interruptible: bool = False
    _pending: list[completion_pb2.CompletionEvent] = field(default_factory=list)
    _delivered: int = 0
    _ended: bool = False
    _news: asyncio.Future[None] | None = None
    _room: asyncio.Future[None] | None = None

    # The handler's side.

    async def next_events(self) -> list[completion_pb2.CompletionEvent]:
        """What came since the last call, in as few events as say it, numbered; `finished` is the last, then nothing.

        :raises GatewayError: how the run failed, after what it had produced.
        """
        while not self._pending and not self._ended:
            await self._hear()
        events, self._pending = merged(self._pending), []
        _resolve(self._room)
        if not events and self.error is not None:
            raise self.error
        for event in events:
            self._delivered += 1
            event.sequence = self._delivered
        return events

    async def all_events(self) -> list[completion_pb2.CompletionEvent]:
        """Every event, once there are no more.

        :raises GatewayError: how the run failed.
        """
        while not self._ended:
            await self._hear()
        if self.error is not None:
            raise self.error
        return self._pending

    def _hear(self) -> "asyncio.Future[None]":
        self._news = asyncio.get_running_loop().create_future()
        return self._news

    def stop(self, outcome: outcome_pb2.Outcome.ValueType, *, linger_seconds: float = 0.0) -> None:
        """End the run early, and settle it; without effect when it has ended.

        An upstream call that streams is closed at once; one that does not may run on for `linger_seconds`, so that its
        usage becomes known, unless it is stopped again without. Calls to peers are short and are always awaited, so that
        what they took is known.
        """
        if self.task is None or self.task.done():
            return
        self.stop_outcome = self.stop_outcome or outcome
        if linger_seconds and not self.streamed:
            asyncio.get_running_loop().call_later(linger_seconds, self._interrupt)
        else:
            self._interrupt()

    def _interrupt(self) -> None:
        if self._interruptible and self.task is not None:
            self._interruptible = False
            self.task.cancel()

    # The pump's side.

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A part of the pump's work that `stop` ends at once.

        :raises StoppedError: it did, now or before.
        """
        self.check()
        self._interruptible = True
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.stop_outcome or task is None:
                raise
            task.uncancel()
            raise StoppedError from None
        finally:
            self._interruptible = False

    def check(self) -> None:
        """:raises StoppedError: the run was told to stop."""
        if self.stop_outcome:
            raise StoppedError

    async def emit(self, events: Sequence[completion_pb2.CompletionEvent]) -> None:
        """Hand events to the handler; waits while it is far behind, which holds back the provider."""
        self.sent += len(events)
        self._pending += events
        if self.keeps_events:
            self._keep(events)
        if self.streamed:
            _resolve(self._news)
            if len(self._pending) >= QUEUED_EVENTS:
                self._room = asyncio.get_running_loop().create_future()
                await self._room

    def end(self, finished: completion_pb2.CompletionEvent | None) -> None:
        """The last thing that the handler gets: `finished`, or the error."""
        if finished is not None:
            self._pending.append(finished)
        self._ended = True
        _resolve(self._news)

    def _keep(self, events: Sequence[completion_pb2.CompletionEvent]) -> None:
        for event in events:
            if event.WhichOneof("event") in _KEPT:
                self._kept_bytes += event.ByteSize()
                self.kept.append(event)
        if self._kept_bytes > KEPT_BYTES:
            self.keeps_events = False
            self.kept.clear()


def _resolve(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
