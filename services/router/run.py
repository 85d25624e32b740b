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
from services.router.holding import Share
from services.router.peers import Principal
from services.router.targets.routing import Plan

QUEUED_EVENTS = 256
QUEUED_BYTES = 16 * 1024
UNCOUNTED_BYTES = 4 * 1024
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
    # What it holds of its answer: what was not read yet, and what is kept for the cache.
    share: Share
    # Found by admission.
    checkpointed_progress: int = 0
    reservations: list[ratelimit.ReserveRequest] = field(default_factory=list)
    hold_ids: list[str] = field(default_factory=list)
    # Of each of them, in nano-USD.
    held_nanos: int = 0
    # As the last reservation left them, or the one that refused.
    limit_statuses: list[ratelimit.LimitStatus] = field(default_factory=list)
    counts_cost: bool = False
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
    # What limits are told that it used; none of it is known before.
    counted: ratelimit.Amounts | None = None
    error: GatewayError | None = None
    sent: int = 0
    task: asyncio.Task[None] | None = None
    stop_outcome: outcome_pb2.Outcome.ValueType = outcome_pb2.OUTCOME_UNSPECIFIED
    stop_error: GatewayError | None = None
    _kept_bytes: int = 0
    _pending_bytes: int = 0
    _is_read: bool = True
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
        self._pending_bytes = 0
        self._count()
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

    def forget(self) -> None:
        """Nobody reads any more: what is queued goes, and what still comes is not queued."""
        self._is_read = False
        self._pending.clear()
        self._pending_bytes = 0
        self._count()
        _resolve(self._room)

    def _hear(self) -> "asyncio.Future[None]":
        self._news = asyncio.get_running_loop().create_future()
        return self._news

    def stop(
        self,
        outcome: outcome_pb2.Outcome.ValueType,
        *,
        because: GatewayError | None = None,
        linger_seconds: float = 0.0,
    ) -> None:
        """End the run early, and settle it; without effect when it has ended. `because` is what its caller is told.

        An upstream call that streams is closed at once; one that does not may run on for `linger_seconds`, so that its
        usage becomes known, unless it is stopped again without. Calls to peers are short and are always awaited, so that
        what they took is known.
        """
        if self.task is None or self.task.done():
            return
        if not self.stop_outcome:
            self.stop_outcome, self.stop_error = outcome, because
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
        if self.keeps_events:
            self._keep(events)
        if not self._is_read:
            return
        self._pending += events
        for event in events:
            self._pending_bytes += event.ByteSize()
        self._count()
        if self.streamed:
            _resolve(self._news)
            if self._is_far_behind():
                self._room = asyncio.get_running_loop().create_future()
                await self._room

    def _count(self) -> None:
        """Most answers are short and read at once, and pay nothing for the count."""
        size = self._pending_bytes + self._kept_bytes
        if size > UNCOUNTED_BYTES:
            self.share.hold(size)
        elif self.share.size:
            self.share.hold(0)

    def _is_far_behind(self) -> bool:
        return (
            len(self._pending) >= QUEUED_EVENTS
            or self._pending_bytes >= QUEUED_BYTES
            or (self.share.size > 0 and self.share.is_tight)
        )

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
        if self._kept_bytes > KEPT_BYTES or self.share.is_tight:
            self.keep_nothing()

    def restart(self) -> None:
        """The answer begins anew: of what came before, nothing is kept for the cache."""
        self.kept.clear()
        self._kept_bytes = 0
        self._count()

    def keep_nothing(self) -> None:
        """The answer is too large for the cache, or is kept there by now."""
        self.keeps_events = False
        self.restart()


def _resolve(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
