"""How long batches wait for company: longer the busier the process is, when fewer and fuller ones are what it needs."""

from collections.abc import Callable

MIN_SECONDS = 0.004
MAX_SECONDS = 0.020
_WINDOW_SECONDS = 0.1
_EASY, _BUSY = 0.3, 0.7


class Pace:
    """The pace of one process, from the share of a core that it used lately.

    Below three tenths of a core it is `MIN_SECONDS`; it grows from there to `MAX_SECONDS` at seven. At 64 requests in flight
    on two cores a pace of 20 ms, against 4 ms, takes internal batches from 3 to 12 calls, and a third off the CPU time
    of a request. `clock` and `cpu_clock` give seconds of wall time and of the process's CPU time.
    """

    def __init__(self, clock: Callable[[], float], cpu_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._since = clock()
        self._used = cpu_clock()
        self._seconds = MIN_SECONDS

    def __call__(self) -> float:
        now = self._clock()
        if now - self._since >= _WINDOW_SECONDS:
            used = self._cpu_clock()
            self._seconds = pace_at((used - self._used) / (now - self._since))
            self._since, self._used = now, used
        return self._seconds


def pace_at(utilisation: float) -> float:
    """Seconds between batches at this share of a core."""
    strain = min(1.0, max(0.0, (utilisation - _EASY) / (_BUSY - _EASY)))
    return MIN_SECONDS + (MAX_SECONDS - MIN_SECONDS) * strain
