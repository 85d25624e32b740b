"""Which of many things are due by now, in constant amortised time."""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T", bound=Hashable)
_TICK_US = 1_000_000


class ExpiryWheel(Generic[_T]):
    """Things are due up to one second late, never early."""

    def __init__(self) -> None:
        self._ticks: dict[int, list[_T]] = {}
        self._next = 0

    def add(self, item: _T, due_us: int) -> None:
        tick = max(due_us // _TICK_US + 1, self._next)
        self._ticks.setdefault(tick, []).append(item)

    def due(self, now_us: int) -> Iterator[_T]:
        """Take out all that is due."""
        last = now_us // _TICK_US
        if last < self._next:
            return
        ticks = self._passed(last)
        self._next = last + 1
        for tick in ticks:
            yield from self._ticks.pop(tick, ())

    def _passed(self, last: int) -> list[int]:
        # After a long pause there are more seconds than entries.
        if last - self._next > len(self._ticks):
            return [tick for tick in self._ticks if tick <= last]
        return list(range(self._next, last + 1))
