"""Whether a peer is asked: a circuit breaker. Pure: time is an argument, in seconds of one clock."""

from enum import StrEnum

FIRST_REST_SECONDS = 0.1
MAX_REST_SECONDS = 1.0


class State(StrEnum):
    """How a peer stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One peer, as this process sees it.

    The first call that the peer leaves without an answer opens it: that call has waited long enough to know, and every
    other that waits as long costs its caller the same again. After a rest, which doubles with each failed probe, one probe
    asks; any answer closes it.
    """

    __slots__ = ("_rest_seconds", "_retry_at", "state")

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._rest_seconds = FIRST_REST_SECONDS
        self._retry_at = 0.0

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    def begin_probe(self, now: float) -> bool:
        """Whether what is asked now is the probe: then nothing else is until `answered`, `failed` or `abandoned`."""
        if self.state is not State.OPEN or now < self._retry_at:
            return False
        self.state = State.HALF_OPEN
        return True

    def answered(self) -> bool:
        """The peer answered; True when that closed the breaker."""
        was_closed, self.state = self.is_closed, State.CLOSED
        self._rest_seconds = FIRST_REST_SECONDS
        return not was_closed

    def failed(self, now: float, *, is_probe: bool) -> bool:
        """The peer did not answer; True when that opened a closed breaker.

        What was asked before the breaker opened says nothing new: only a probe lengthens the rest.
        """
        if not self.is_closed and not is_probe:
            return False
        was_closed, self.state = self.is_closed, State.OPEN
        self._retry_at = now + self._rest_seconds
        self._rest_seconds = min(MAX_REST_SECONDS, self._rest_seconds * 2)
        return was_closed

    def abandoned(self, now: float) -> None:
        """The probe ended without a verdict; the next may follow at once."""
        if self.state is State.HALF_OPEN:
            self.state, self._retry_at = State.OPEN, now
