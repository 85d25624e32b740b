"""What a limit is: which requests it binds, what it counts, and how over time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from msgspec import Struct

SLOTS_PER_WINDOW = 60


class Dimension(IntEnum):
    """What tells one bucket of a limit from another; numbered as in the contract."""

    ORGANIZATION = 1
    USER = 2
    KEY = 3
    MODEL = 4


class Metric(IntEnum):
    """What a limit counts; numbered as in the contract."""

    REQUESTS = 1
    INPUT_TOKENS = 2
    OUTPUT_TOKENS = 3
    TOTAL_TOKENS = 4
    COST_NANOS = 5

    @property
    def unit(self) -> str:
        return "USD" if self is Metric.COST_NANOS else self.name.lower().replace("_", " ")


class StoreLossPolicy(IntEnum):
    """What callers do while this service or its store can't be reached; numbered as in the contract."""

    UNSPECIFIED = 0
    OPEN = 1
    CLOSED = 2


class Source(IntEnum):
    """Where a limit was declared; numbered as in the contract."""

    FILE = 1
    API = 2


Amounts = tuple[int, int, int, int, int]
"""How much of each metric, in the order of `Metric`."""

NOTHING: Amounts = (0, 0, 0, 0, 0)


def amounts(requests: int = 0, input_tokens: int = 0, output_tokens: int = 0, cost_nanos: int = 0) -> Amounts:
    return (requests, input_tokens, output_tokens, input_tokens + output_tokens, cost_nanos)


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Holds at most `burst` and gains `refill_amount` every `refill_interval_us`, continuously."""

    refill_amount: int
    refill_interval_us: int
    burst: int

    def reduced(self) -> tuple[int, int]:
        """The rate as the smallest (amount, microseconds)."""
        divisor = math.gcd(self.refill_amount, self.refill_interval_us)
        return self.refill_amount // divisor, self.refill_interval_us // divisor


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """At most `maximum` in any window of `window_us`, wherever it begins."""

    maximum: int
    window_us: int

    @property
    def slot_us(self) -> int:
        """What is taken within one slot leaves the window together, when its last microsecond has left."""
        return -(-self.window_us // SLOTS_PER_WINDOW)


Algorithm = TokenBucket | SlidingWindow


class Caller(Struct, frozen=True, gc=False):
    """Who asks: an organisation's user through one of the user's keys. Empty: none."""

    organization_id: str
    user_id: str = ""
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Selector:
    """Binds the requests that match every field that is set."""

    organization_id: str = ""
    user_id: str = ""
    key_id: str = ""
    model: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def matches(self, caller: Caller, model: str, labels: Mapping[str, str]) -> bool:
        return (
            self.organization_id in ("", caller.organization_id)
            and self.user_id in ("", caller.user_id)
            and self.key_id in ("", caller.key_id)
            and self.model in ("", model)
            and all(labels.get(name) == value for name, value in self.labels.items())
        )

    def may_match(self, caller: Caller) -> bool:
        """True when some request of the caller could match."""
        return self.may_match_labelled(caller, self.labels)

    def may_match_labelled(self, caller: Caller, labels: Mapping[str, str]) -> bool:
        """True when some request of the caller with these labels could match."""
        return self.matches(caller, self.model, labels)


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule that says how much of something may be used. All limits that match a request bind it together.

    A shadow limit only reports. It takes nothing from a request that it would have refused, so that it reports what
    it would do as a real limit.

    `generation` tells a limit from an earlier one of the same id that was deleted: their buckets are different.
    """

    limit_id: str
    metric: Metric
    algorithm: Algorithm
    selector: Selector = Selector()
    per: tuple[Dimension, ...] = ()
    shadow: bool = False
    store_loss_policy: StoreLossPolicy = StoreLossPolicy.UNSPECIFIED
    source: Source = Source.API
    etag: str = ""
    generation: int = 0

    @property
    def tells_models_apart(self) -> bool:
        """It binds one model only, or has a bucket for each."""
        return bool(self.selector.model) or Dimension.MODEL in self.per

    @property
    def capacity(self) -> int:
        """The most that a bucket holds."""
        match self.algorithm:
            case TokenBucket(burst=burst):
                return burst
            case SlidingWindow(maximum=maximum):
                return maximum
