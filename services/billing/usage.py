"""What an attempt used, what the ledger keeps of it, and how usage is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from hashlib import blake2b

import msgspec

from services.billing.pricing import TokenCounts

NS_PER_SECOND = 10**9
NS_PER_DAY = 86_400 * NS_PER_SECOND

# CACHE_STATUS_EXACT and CACHE_STATUS_SEMANTIC of the contract.
CACHE_HITS = frozenset({3, 4})
_DIGEST_VERSION = 1
_encode = msgspec.msgpack.Encoder(order="sorted").encode


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who pays. `user_id` and `key_id` are empty where there is none."""

    organization_id: str
    user_id: str = ""
    key_id: str = ""


class UsageRecord(msgspec.Struct, frozen=True, gc=False):
    """One attempt. The whole numbers `usage_source`, `cache_status` and `outcome` are the contract's enums."""

    attempt_id: str
    completion_id: str
    caller: Caller
    provider: str
    model: str
    tokens: TokenCounts
    start_ns: int
    end_ns: int
    outcome: int
    requested_model: str = ""
    usage_source: int = 0
    cache_status: int = 0
    first_token_ns: int | None = None
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    end_user_id: str = ""
    service_tier: str = ""

    @property
    def is_cache_hit(self) -> bool:
        return self.cache_status in CACHE_HITS

    @property
    def day(self) -> int:
        """The UTC day that it is booked on, counted from 1970-01-01."""
        return self.end_ns // NS_PER_DAY

    def digest(self) -> bytes:
        """Equal for equal content, different for different content; the same in every release."""
        content = (
            _DIGEST_VERSION,
            self.attempt_id,
            self.completion_id,
            (self.caller.organization_id, self.caller.user_id, self.caller.key_id),
            (self.provider, self.model, self.requested_model, self.service_tier, self.end_user_id),
            (self.tokens.input, self.tokens.output, self.tokens.cache_read),
            (self.tokens.cache_write, self.tokens.reasoning, self.usage_source),
            (self.cache_status, self.outcome, self.start_ns, self.end_ns, self.first_token_ns),
            self.labels,
        )
        return blake2b(_encode(content), digest_size=16).digest()


class Cost(msgspec.Struct, frozen=True, gc=False):
    """`unpriced`: no price is known, and `nanos` is 0 and means nothing."""

    nanos: int
    price_id: str = ""
    unpriced: bool = False


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A row of the ledger; it never changes."""

    record: UsageRecord
    cost: Cost
    book_ns: int
    hold_id: str
    digest: bytes


class Dimension(IntEnum):
    """What usage can be grouped by; the contract's numbers."""

    ORGANIZATION = 1
    USER = 2
    KEY = 3
    MODEL = 4
    PROVIDER = 5
    DAY = 6


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """What matches every field that is set; `start_ns` <= end of the attempt < `end_ns`."""

    organization_id: str = ""
    user_id: str = ""
    key_id: str = ""
    model: str = ""
    provider: str = ""
    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Sums of what was booked until `booked_until_ns`, so that the pages of one query agree."""

    filter: UsageFilter
    group_by: Sequence[Dimension]
    booked_until_ns: int


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Sums over one group; `group` holds the group's values in the order of the query's dimensions."""

    group: tuple[str | int, ...]
    attempts: int
    cache_hits: int
    tokens: TokenCounts
    estimated: bool
    cost_nanos: int
    unpriced_attempts: int


@dataclass(frozen=True, slots=True)
class EntryPosition:
    """Where a page of entries, newest first, ended."""

    end_ns: int
    attempt_id: str


def day_name(day: int) -> str:
    """Day 0 is `1970-01-01`."""
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
