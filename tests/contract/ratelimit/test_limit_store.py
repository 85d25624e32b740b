"""What every LimitStore does."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.ratelimit.errors import EtagMismatchError, LimitNotFoundError
from services.ratelimit.limit import (
    Dimension,
    Limit,
    Metric,
    Selector,
    SlidingWindow,
    StoreLossPolicy,
    TokenBucket,
)
from services.ratelimit.store import LimitStore
from services.ratelimit.stores.memory_limits import MemoryLimitStore
from services.ratelimit.stores.redis_limits import RedisLimitStore
from services.ratelimit.stores.redis_script import ScriptedRedis

WINDOW = Limit(
    "team/tokens",
    Metric.TOTAL_TOKENS,
    SlidingWindow(1000, 60_000_000),
    Selector("acme", "alice", "key-1", "small", {"team": "red"}),
    (Dimension.USER, Dimension.MODEL),
    shadow=True,
    store_loss_policy=StoreLossPolicy.CLOSED,
)
BUCKET = Limit("rpm", Metric.REQUESTS, TokenBucket(5, 1_000_000, 7))


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[LimitStore]:
    if request.param == "memory":
        yield MemoryLimitStore()
        return
    redis = ScriptedRedis.connect(request.getfixturevalue("redis_url"), timeout_seconds=10, max_connections=4)
    yield RedisLimitStore(redis)
    await redis.close()


async def test_an_empty_store_has_no_limits(store: LimitStore) -> None:
    assert await store.read() == (await store.version(), ())


@pytest.mark.parametrize("limit", [WINDOW, BUCKET], ids=["window", "bucket"])
async def test_a_limit_is_read_as_it_was_put(store: LimitStore, limit: Limit) -> None:
    stored = await store.put(limit)
    assert stored == replace(limit, etag=stored.etag, generation=stored.generation)
    assert await store.read() == (await store.version(), (stored,))


async def test_every_change_moves_the_version_and_the_etag(store: LimitStore) -> None:
    first = await store.put(BUCKET)
    one = await store.version()
    second = await store.put(BUCKET)
    two = await store.version()
    await store.delete("rpm", "")
    assert one < two < await store.version()
    assert first.etag != second.etag


async def test_a_put_with_the_current_etag_replaces(store: LimitStore) -> None:
    stored = await store.put(BUCKET)
    changed = await store.put(replace(stored, shadow=True))
    assert changed.shadow
    assert changed.generation == stored.generation


async def test_a_put_with_another_etag_changes_nothing(store: LimitStore) -> None:
    stored = await store.put(BUCKET)
    with pytest.raises(EtagMismatchError):
        await store.put(replace(BUCKET, etag="other", shadow=True))
    with pytest.raises(EtagMismatchError):
        await store.put(replace(WINDOW, etag=stored.etag))
    assert (await store.read())[1] == (stored,)


async def test_a_limit_made_again_is_of_another_generation(store: LimitStore) -> None:
    first = await store.put(BUCKET)
    await store.delete("rpm", first.etag)
    assert (await store.put(BUCKET)).generation != first.generation


async def test_deleting_asks_for_the_limit_and_its_etag(store: LimitStore) -> None:
    with pytest.raises(LimitNotFoundError):
        await store.delete("rpm", "")
    stored = await store.put(BUCKET)
    with pytest.raises(EtagMismatchError):
        await store.delete("rpm", "other")
    assert (await store.read())[1] == (stored,)
