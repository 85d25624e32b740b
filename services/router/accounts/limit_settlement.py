"""Tells the rate limiter what was really used; while it can't be reached, again until the reservation has expired."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services._runtime.errors import GatewayError
from services.router.accounts.limit_amounts import spread
from services.router.peers import UNREACHABLE, RateLimit

# By then the reservation has expired, and there is nothing left to settle.
EXPIRED_AFTER_SECONDS = 600.0
MOST_WAITING = 100_000
_BATCH = 64
_PAUSE_SECONDS = 0.25

Order = ratelimit.SettleRequest | ratelimit.ReleaseRequest


class LimitSettlements:
    """Every settlement and release of this process. They are kept in memory only: without them a reservation expires."""

    def __init__(
        self, limits: RateLimit, now: Callable[[], float], on_peer_lost: Callable[[str], None]
    ) -> None:
        self._limits = limits
        self._now = now
        self._on_peer_lost = on_peer_lost
        # When too many wait, the oldest go: theirs are the reservations that expire first.
        self._waiting: deque[tuple[float, Order]] = deque(maxlen=MOST_WAITING)
        self._retrying: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        return len(self._waiting)

    def resolve(self, order: Order) -> Awaitable[None]:
        """Begin to send `order`; what is returned ends when it was answered, or is left to be sent again."""
        return self._finish(order, self._send(order), self._now())

    async def stop(self) -> None:
        """Try once more what is left."""
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.wait([self._retrying])
        await self._retry()

    def _send(self, order: Order) -> Awaitable[Any]:
        if isinstance(order, ratelimit.SettleRequest):
            return self._limits.settle(order)
        return self._limits.release(order)

    async def _finish(self, order: Order, sending: Awaitable[Any], began: float) -> None:
        try:
            await sending
        except GatewayError as error:
            self._on_peer_lost("ratelimit")
            if error.code in UNREACHABLE and self._now() < began + EXPIRED_AFTER_SECONDS:
                self._waiting.append((began, order))
                self._ensure_retrying()

    def _ensure_retrying(self) -> None:
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.get_running_loop().create_task(self._retry_until_done())

    async def _retry_until_done(self) -> None:
        while self._waiting:
            await asyncio.sleep(_PAUSE_SECONDS)
            while await self._retry():
                pass

    async def _retry(self) -> bool:
        """Send a batch of what waits; True when all of it was answered and more waits."""
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        waiting = len(self._waiting)
        await asyncio.gather(*(self._finish(order, self._send(order), began) for began, order in batch))
        return 0 < len(self._waiting) <= waiting


def settling(
    reservations: Sequence[ratelimit.ReserveRequest], used: ratelimit.Amounts
) -> list[ratelimit.SettleRequest]:
    """One order for each, which together say that `used` was used; none where no limit binds."""
    if not reservations:
        return []
    shares = spread(used, [each.amounts for each in reservations]) if len(reservations) > 1 else [used]
    return [
        ratelimit.SettleRequest(reservation_id=each.reservation_id, caller=each.caller, amounts=share)
        for each, share in zip(reservations, shares, strict=True)
    ]


def releasing(
    reservations: Sequence[ratelimit.ReserveRequest], _used: ratelimit.Amounts
) -> list[ratelimit.ReleaseRequest]:
    """One order for each, which together give everything back."""
    return [
        ratelimit.ReleaseRequest(reservation_id=each.reservation_id, caller=each.caller)
        for each in reservations
    ]
