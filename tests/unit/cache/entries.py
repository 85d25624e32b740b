"""Makers of what the cache's tests store, with every figure that a test does not care about filled in."""

from services.cache.entry import Entry, Usage
from services.cache.store import Address, Write

SECOND = 1_000_000_000
NO_USAGE = Usage()
NOW = 1_700_000_000 * SECOND


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def address(organization_id: str = "org", number: int = 1) -> Address:
    return Address(organization_id, key(number))


def entry(
    value: bytes = b"answer",
    *,
    now: int = NOW,
    ttl_seconds: int = 3600,
    cost_nanos: int = 0,
    usage: Usage = NO_USAGE,
) -> Entry:
    return Entry(value, now, now + ttl_seconds * SECOND, usage, cost_nanos)


def write(
    organization_id: str = "org",
    number: int = 1,
    value: bytes = b"answer",
    *,
    tags: tuple[str, ...] = (),
    now: int = NOW,
    ttl_seconds: int = 3600,
) -> Write:
    return Write(address(organization_id, number), entry(value, now=now, ttl_seconds=ttl_seconds), tags)
