"""The Prometheus metrics of this service."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.billing.books import HoldState
from services.billing.store import HoldTally
from services.billing.stores.sql.posting import Posted

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class BillingMetrics:
    """What was booked, how it was committed, and what is held."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._booked = Counter("headgate_billing_records_booked", "usage records booked", registry=registry)
        self._captured = Counter(
            "headgate_billing_captured_nanos", "cost of the usage booked, in nano-USD", registry=registry
        )
        self._unpriced = Counter(
            "headgate_billing_unpriced_records", "usage records booked without a price", registry=registry
        )
        self._conflicts = Counter(
            "headgate_billing_conflicts", "attempt ids that came again with other content", registry=registry
        )
        self._operations = Histogram(
            "headgate_billing_commit_operations",
            "operations that shared a commit",
            buckets=_SIZES,
            registry=registry,
        )
        self._rows = Histogram(
            "headgate_billing_commit_rows", "rows written by a commit", buckets=_SIZES, registry=registry
        )
        holds = ("state",)
        self._holds = Gauge("headgate_billing_holds", "unresolved holds", holds, registry=registry)
        self._held = Gauge(
            "headgate_billing_held_nanos", "what they hold, in nano-USD", holds, registry=registry
        )

    def committed(self, operations: int, posted: Posted) -> None:
        changes = posted.changes
        self._operations.observe(operations)
        self._rows.observe(len(changes.entries) + len(changes.holds))
        if changes.conflicts:
            self._conflicts.inc(changes.conflicts)
        if changes.entries:
            self._booked.inc(len(changes.entries))
            self._captured.inc(sum(entry.cost.nanos for entry in changes.entries))
            self._unpriced.inc(sum(entry.cost.unpriced for entry in changes.entries))

    def held(self, tallies: dict[HoldState, HoldTally]) -> None:
        for state in (HoldState.OPEN, HoldState.ORPHANED):
            tally = tallies.get(state, HoldTally(0, 0))
            self._holds.labels(state.name.lower()).set(tally.count)
            self._held.labels(state.name.lower()).set(tally.amount_nanos)
