"""How often a failed call may be tried again: a budget shared by all calls to a peer, and full jitter."""

MAX_ATTEMPTS = 3
_FIRST_BACKOFF_SECONDS = 0.02
_MAX_BACKOFF_SECONDS = 0.25


class RetryBudget:
    """Retries are at most `ratio` of the calls, plus `floor_per_second`, saved up to `capacity`.

    So a peer that is down gets at most a fifth more calls, and a quiet caller can still retry.
    """

    def __init__(self, ratio: float = 0.2, floor_per_second: float = 1.0, capacity: float = 10.0) -> None:
        self._ratio = ratio
        self._floor_per_second = floor_per_second
        self._capacity = capacity
        self._tokens = capacity
        self._refilled_at: float | None = None

    def deposit(self) -> None:
        """A first attempt was made."""
        self._tokens = min(self._capacity, self._tokens + self._ratio)

    def withdraw(self, now: float) -> bool:
        """Whether a retry may be made at `now` (monotonic seconds); if so it is spent."""
        if self._refilled_at is not None:
            refill = max(0.0, now - self._refilled_at) * self._floor_per_second
            self._tokens = min(self._capacity, self._tokens + refill)
        self._refilled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def backoff_seconds(attempt: int, unit: float) -> float:
    """Full jitter before attempt 2, 3, …: `unit` in [0, 1) of an exponentially growing ceiling."""
    ceiling: float = min(_MAX_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2 ** (attempt - 2))
    return unit * ceiling
