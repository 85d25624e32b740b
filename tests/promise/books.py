"""What is known of a run when it is over: what each caller saw, what the provider served, what was booked, held and counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from headgate.billing.v1 import budget_pb2, usage_pb2
from headgate.common.v1 import caller_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import completion_pb2
from simulator.ledger import Record
from tests.promise.plans import RequestPlan, RunPlan


@dataclass(slots=True)
class Asked:
    """One request as its caller saw it. Times are of one clock, in seconds."""

    plan: RequestPlan
    began: float = 0.0
    known_by: float = 0.0
    """When the first event, the answer or the refusal had come: it was admitted before that."""
    left: bool = False
    code: str = ""
    reason: str = ""
    text: dict[int, str] = field(default_factory=dict)
    """What was delivered, by choice, since the last target began."""
    finished: completion_pb2.Finished | None = None


@dataclass(frozen=True, slots=True)
class Peeked:
    """What a limit counts for one caller, model and team."""

    caller: int
    model: str
    team: str
    status: ratelimit.LimitStatus


@dataclass(frozen=True, slots=True)
class Disturbance:
    """The services that were killed while a run went on, and whether the rate limiter then forgot its limits."""

    killed: frozenset[str] = frozenset()
    forgot_limits: bool = False


@dataclass(frozen=True, slots=True)
class Books:
    plan: RunPlan
    callers: Sequence[caller_pb2.Caller]
    asked: Sequence[Asked]
    served: Sequence[Record]
    entries: Sequence[usage_pb2.LedgerEntry]
    budgets: Sequence[budget_pb2.Budget]
    peeked: Sequence[Peeked]
    holds: int
    disturbance: Disturbance = Disturbance()

    @property
    def killed(self) -> frozenset[str]:
        return self.disturbance.killed

    def entries_of(self, request: RequestPlan) -> list[usage_pb2.LedgerEntry]:
        return [entry for entry in self.entries if entry.record.end_user_id == request.name]
