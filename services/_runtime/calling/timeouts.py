"""How long to wait for a peer: as long as it usually takes, times a factor, and never for one's own standstill."""

import asyncio
from collections import deque

FACTOR = 8
_SAMPLES = 256
_LEARN_EVERY = 32
_QUANTILE = 0.99
_LATE_SECONDS = 0.05


class LearnedTimeout:
    """The 99th percentile of the last answers' times, times `FACTOR`, between a floor and a ceiling.

    Until there were `_LEARN_EVERY` answers it is the ceiling. What ran into the time-out counts as an answer that took as
    long: so a peer that became slow for good is given more time, up to the ceiling.
    """

    __slots__ = ("_ceiling_seconds", "_floor_seconds", "_since_learnt", "_taken", "seconds")

    def __init__(self, floor_seconds: float, ceiling_seconds: float) -> None:
        self._floor_seconds = floor_seconds
        self._ceiling_seconds = ceiling_seconds
        self._taken: deque[float] = deque(maxlen=_SAMPLES)
        self._since_learnt = 0
        self.seconds = ceiling_seconds

    def learn(self, taken_seconds: float) -> None:
        """An answer took so long."""
        self._taken.append(taken_seconds)
        self._since_learnt += 1
        if self._since_learnt >= _LEARN_EVERY:
            self._since_learnt = 0
            usual = sorted(self._taken)[int(_QUANTILE * len(self._taken))]
            self.seconds = min(self._ceiling_seconds, max(self._floor_seconds, FACTOR * usual))


class awake_timeout:  # noqa: N801 - called as `asyncio.timeout` is
    """As `asyncio.timeout`, but for a loop that stood still itself when the time was over.

    What arrived meanwhile is then looked at first, for as long as the loop was late: a stopped process must not take its
    peers for lost when it goes on.

    :raises TimeoutError: the time is over.
    """

    __slots__ = ("_cancelling", "_due", "_is_over", "_loop", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_over = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - whatever awaits runs in one
        self._task, self._cancelling = task, task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self._due, self._on_due)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        # Who was cancelled by somebody else besides stays cancelled.
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError

    def _on_due(self) -> None:
        late = self._loop.time() - self._due
        if late > _LATE_SECONDS:
            self._timer = self._loop.call_later(min(late, self._seconds), self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._is_over = True
        self._task.cancel()
