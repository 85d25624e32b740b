"""The stores that the contract holds for."""

from collections.abc import AsyncIterator

import pytest

from services.cache.store import EntryStore
from services.cache.stores.memory import MemoryEntryStore
from services.cache.stores.redis import RedisEntryStore

_MAX_TTL_NS = 30 * 86_400 * 1_000_000_000


def memory_store() -> MemoryEntryStore:
    return MemoryEntryStore(max_bytes=64 * 1024 * 1024, max_organization_bytes=64 * 1024 * 1024)


def redis_store(url: str) -> RedisEntryStore:
    # The time is for a machine that is busy with other tests; what a short one does is tested by itself.
    return RedisEntryStore.connect(url, timeout_seconds=10, max_ttl_ns=_MAX_TTL_NS)


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[EntryStore]:
    made = memory_store() if request.param == "memory" else redis_store(request.getfixturevalue("redis_url"))
    yield made
    await made.close()
