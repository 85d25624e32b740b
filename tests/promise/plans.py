"""What one run configures and asks. Everything is decided before it begins, so that its seed repeats it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.billing.v1 import budget_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.router.v1 import completion_pb2

Knobs = tuple[tuple[str, str], ...]
"""Of the simulator."""


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Rates in nano-USD per million tokens; None: as input."""

    min_input_tokens: int
    input: int
    output: int
    cache_read: int | None
    cache_write: int | None


@dataclass(frozen=True, slots=True)
class PricePlan:
    tiers: tuple[PriceTier, ...]
    request_nanos: int


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """`price` None: the model has none."""

    target_id: str
    provider: str
    model: str
    context_window: int | None
    max_output_tokens: int | None
    most_tokens_per_image: int | None
    price: PricePlan | None


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """`behaviours`: what the provider does with the first attempt, the second …; later ones are served as usual.

    `leaves_after`: the caller goes away so many seconds after it asked; None: it stays.
    """

    request: completion_pb2.CompletionRequest
    caller: int
    streamed: bool
    after_seconds: float
    leaves_after: float | None
    deadline: float | None
    behaviours: tuple[Knobs, ...]

    @property
    def name(self) -> str:
        return self.request.end_user_id


@dataclass(frozen=True, slots=True)
class RunPlan:
    """`users`: of each caller, whose key is named `caller-<index>` in limits and budgets until it is made."""

    seed: int
    organization_id: str
    users: tuple[str, ...]
    targets: Mapping[str, TargetPlan]
    models: Mapping[str, Sequence[str]]
    limits: tuple[limit_pb2.Limit, ...]
    budgets: tuple[budget_pb2.Budget, ...]
    requests: tuple[RequestPlan, ...]

    def target_of(self, model: str) -> TargetPlan:
        """By the provider's name of the model."""
        return next(target for target in self.targets.values() if target.model == model)


def key_name(caller: int) -> str:
    return f"caller-{caller}"
