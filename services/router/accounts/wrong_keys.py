"""Wrong keys are counted, told in the log now and then, and answered slowly when there are many."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from services._runtime.key_form import Fault

KINDS = (*Fault, "unknown", "revoked", "throttled")
ANSWERS_PER_SECOND = 200.0
AT_ONCE = 20.0
"""So many are answered without a wait, after a while without any."""
MOST_WAITING = 1_000
LOG_SECONDS = 1.0


class Pace:
    """Lets refusals out one after the other, so that a flood of them leaves the process to those who have a key."""

    def __init__(self) -> None:
        self._taken_until = 0.0

    def wait_seconds(self, now: float) -> float:
        """Of the next one. With too many waiting, which would only fill the memory, it is 0."""
        free_at = max(self._taken_until, now - AT_ONCE / ANSWERS_PER_SECOND)
        wait = free_at + 1.0 / ANSWERS_PER_SECOND - now
        if wait > MOST_WAITING / ANSWERS_PER_SECOND:
            return 0.0
        self._taken_until = now + wait
        return max(0.0, wait)


class Sample:
    """One line of many, which tells how many there were since the one before."""

    def __init__(self) -> None:
        self._since_last = 0
        self._next_at = 0.0

    def due(self, now: float) -> int:
        """How many the line tells of; 0: there is none this time."""
        self._since_last += 1
        if now < self._next_at:
            return 0
        told, self._since_last, self._next_at = self._since_last, 0, now + LOG_SECONDS
        return told


class WrongKeys:
    """What the router does about each; `count` is told its kind, one of KINDS."""

    def __init__(
        self,
        count: Callable[[str], None],
        log: Any,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._count = count
        self._log = log
        self._now = now
        self._sleep = sleep
        self._pace = Pace()
        self._samples = {kind: Sample() for kind in KINDS}

    def tell(self, kind: str, **said: str) -> None:
        """`said` is never a secret, nor what only looks like a key."""
        self._count(kind)
        if told := self._samples[kind].due(self._now()):
            self._log.warning("wrong API keys", kind=kind, count=told, **said)

    async def slow_down(self) -> None:
        """To be waited for before a refusal is answered."""
        if wait := self._pace.wait_seconds(self._now()):
            await self._sleep(wait)
