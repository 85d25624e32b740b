"""What billing said of each API key, for as long as that is taken for true."""

from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from services._runtime.errors import GatewayError
from services.router.errors import KeyRevokedError
from services.router.peers import Principal

Entry = TypeVar("Entry")
MAX_KEYS = 100_000
MAX_REFUSED = 10_000


@dataclass(slots=True)
class Known:
    """A good key. Times are of the monotonic clock."""

    principal: Principal
    fresh_until: float
    usable_until: float
    ends_at: float

    def require_time(self, now: float) -> None:
        """:raises KeyRevokedError: its time is over."""
        if now >= self.ends_at:
            raise KeyRevokedError(f"the API key {self.principal.caller.key_id} has expired")


@dataclass(slots=True)
class _Refused:
    error: GatewayError
    until: float


class Verdicts:
    """By the SHA-256 of the key. No verdict outlives the key, and bad ones push no good one out."""

    def __init__(
        self,
        now: Callable[[], float],
        epoch_ns: Callable[[], int],
        fresh_seconds: float,
        stale_seconds: float,
    ) -> None:
        self._now = now
        self._epoch_ns = epoch_ns
        self._fresh_seconds = fresh_seconds
        self._stale_seconds = stale_seconds
        self.good: OrderedDict[bytes, Known] = OrderedDict()
        self._bad: OrderedDict[bytes, _Refused] = OrderedDict()

    def admit(self, digest: bytes, principal: Principal) -> Known:
        """:raises KeyRevokedError: by this machine's clock the key has ended."""
        now, ends_at = self._now(), inf
        if principal.expire_ns is not None:
            ends_at = now + (principal.expire_ns - self._epoch_ns()) / 1e9
        fresh_until, usable_until = now + self._fresh_seconds, now + self._stale_seconds
        known = Known(principal, min(fresh_until, ends_at), min(usable_until, ends_at), ends_at)
        known.require_time(now)
        _keep(self.good, digest, known, MAX_KEYS)
        return known

    def refuse(self, digest: bytes, error: GatewayError) -> None:
        self.good.pop(digest, None)
        # The error itself leads to the frames that it came through, which know the key as text.
        _keep(self._bad, digest, _Refused(copy(error), self._now() + self._fresh_seconds), MAX_REFUSED)

    def raise_if_refused(self, digest: bytes) -> None:
        """:raises GatewayError: what billing said, when it said no a short while ago."""
        refused = self._bad.get(digest)
        if refused is not None and self._now() < refused.until:
            raise copy(refused.error)


def _keep(kept: OrderedDict[bytes, Entry], digest: bytes, entry: Entry, most: int) -> None:
    """The oldest go first."""
    kept[digest] = entry
    kept.move_to_end(digest)
    if len(kept) > most:
        kept.popitem(last=False)
