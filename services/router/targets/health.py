"""Whether each target takes requests: a circuit breaker, cooldowns and disabled credentials. Pure: time is an argument."""

from dataclasses import dataclass, field
from enum import StrEnum

from services.router.targets.provider import UNHEALTHY, FailureKind, ProviderError

FAILURES_TO_OPEN = 5
FIRST_REST_SECONDS = 2.0
MAX_REST_SECONDS = 60.0
DISABLED_REST_SECONDS = 60.0
DEFAULT_COOLDOWN_SECONDS = 1.0


class State(StrEnum):
    """How a target stands."""

    HEALTHY = "healthy"
    OPEN = "open"
    HALF_OPEN = "half_open"
    COOLING_DOWN = "cooling_down"
    DISABLED = "disabled"


@dataclass(slots=True)
class TargetHealth:
    """One target's health, as this process sees it. Times are seconds of one clock.

    Failures in a row open the breaker; after a rest that doubles with each failed probe a single request probes. A 429
    is a cooldown and no failure. A refused credential rests long, because only a person can mend it. An answer that can't be
    read may be the request's fault: of one caller it is one failure, however often it comes.
    """

    state: State = State.HEALTHY
    reason: str = ""
    since: float = 0.0
    retry_at: float | None = None
    consecutive_failures: int = 0
    in_flight: int = 0
    unread_by: set[str] = field(default_factory=set)
    _rest_seconds: float = FIRST_REST_SECONDS

    def admits(self, now: float) -> bool:
        """Whether a request may be sent now."""
        if self.state is State.HEALTHY:
            return True
        if self.state is State.HALF_OPEN:
            return False
        return self.retry_at is not None and now >= self.retry_at

    def begin(self, now: float) -> None:
        """A request is sent; after a rest it is the probe, and nothing else is admitted until it ended."""
        self.in_flight += 1
        if self.state is not State.HEALTHY:
            self._become(State.HALF_OPEN, "probing", now, None)

    def succeed(self, now: float) -> None:
        """The target answered."""
        self.in_flight -= 1
        self.consecutive_failures = 0
        self.unread_by.clear()
        self._rest_seconds = FIRST_REST_SECONDS
        if self.state is not State.HEALTHY:
            self._become(State.HEALTHY, "", now, None)

    def abandon(self, now: float) -> None:
        """The request ended without a verdict: it was cancelled, or the request itself was at fault."""
        self.in_flight -= 1
        if self.state is State.HALF_OPEN:
            self._become(State.OPEN, "the probe was cancelled", now, now)

    def fail(self, error: ProviderError, now: float, caller: str) -> None:
        """The target failed, for somebody."""
        if error.kind is FailureKind.RATE_LIMITED:
            self.in_flight -= 1
            rest = error.retry_after_seconds or DEFAULT_COOLDOWN_SECONDS
            self._become(State.COOLING_DOWN, error.message, now, now + rest)
        elif error.kind is FailureKind.CREDENTIAL:
            self.in_flight -= 1
            self._become(State.DISABLED, error.message, now, now + DISABLED_REST_SECONDS)
        elif error.kind in UNHEALTHY and not self._is_known_misfit(error, caller):
            self._count_failure(error, now)
        else:
            self.abandon(now)

    def _is_known_misfit(self, error: ProviderError, caller: str) -> bool:
        if error.kind is not FailureKind.MALFORMED:
            return False
        is_known = caller in self.unread_by
        if len(self.unread_by) < FAILURES_TO_OPEN:
            self.unread_by.add(caller)
        return is_known

    def _count_failure(self, error: ProviderError, now: float) -> None:
        self.in_flight -= 1
        self.consecutive_failures += 1
        probed = self.state is State.HALF_OPEN
        # What was sent before the breaker opened says nothing of the probe: it does not lengthen the rest.
        broken = self.state is State.HEALTHY and self.consecutive_failures >= FAILURES_TO_OPEN
        if probed or broken:
            self._become(State.OPEN, error.message, now, now + self._rest_seconds)
            self._rest_seconds = min(MAX_REST_SECONDS, self._rest_seconds * 2)

    def _become(self, state: State, reason: str, now: float, retry_at: float | None) -> None:
        if self.state is not state:
            self.since = now
        self.state, self.reason, self.retry_at = state, reason, retry_at
