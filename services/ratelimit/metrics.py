"""The Prometheus metrics of this service."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.ratelimit.errors import StoreUnavailableError
from services.ratelimit.store import Decision

_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class LimiterMetrics:
    """Decisions, refusals by limit, batch sizes, and failures of the store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        decisions = Counter(
            "headgate_ratelimit_reservations", "reservations asked for", ("outcome",), registry=registry
        )
        self._admitted, self._refused = decisions.labels("admitted"), decisions.labels("refused")
        self._refusals = Counter(
            "headgate_ratelimit_refusals",
            "requests that a limit refused, or would have if it were no shadow",
            ("limit_id", "shadow"),
            registry=registry,
        )
        self._batch_size = Histogram(
            "headgate_ratelimit_batch_size",
            "reservations decided in one call",
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self._store_errors = Counter(
            "headgate_ratelimit_store_errors", "calls that the store did not answer", registry=registry
        )

    def decided(self, decisions: Sequence[Decision]) -> None:
        self._batch_size.observe(len(decisions))
        admitted = sum(decision.admitted for decision in decisions)
        self._admitted.inc(admitted)
        if admitted < len(decisions):
            self._refused.inc(len(decisions) - admitted)
        for decision in decisions:
            for standing in decision.standings:
                if standing.exceeded:
                    self._refusals.labels(standing.limit_id, str(standing.shadow).lower()).inc()

    @contextmanager
    def store_errors(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailableError:
            self._store_errors.inc()
            raise
