"""A deadline that is moved often and met almost always: one timer for a whole stream."""

import asyncio
from collections.abc import Callable


class Watchdog:
    """Calls `bark` once when a wait lasts beyond its deadline.

    Moving the deadline later only stores a number; the timer finds out when it fires. `asyncio.timeout` around each read
    would arm and disarm a timer for every chunk.
    """

    __slots__ = ("_bark", "_deadline", "_due", "_loop", "_timer", "barked")

    def __init__(self, loop: asyncio.AbstractEventLoop, bark: Callable[[], object]) -> None:
        self._loop = loop
        self._bark = bark
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.barked = False

    def watch(self, deadline: float) -> None:
        """A wait begins that must end by `deadline`, in the loop's time."""
        self._deadline = deadline
        if self._timer is None or self._due > deadline:
            self._arm(deadline)

    def rest(self) -> None:
        """The wait is over."""
        self._deadline = None

    def dismiss(self) -> None:
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._due = self._loop.call_at(deadline, self._look), deadline

    def _look(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
            return
        self.barked = True
        self._bark()
