"""Both bucket stores on one clock that the test sets."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.ratelimit.store import BucketStore
from services.ratelimit.stores.memory import MemoryBucketStore
from services.ratelimit.stores.redis import RedisBucketStore
from services.ratelimit.stores.redis_script import ScriptedRedis

SECOND = 1_000_000
START_US = 1_790_000_000 * SECOND


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us

    async def advance(self, microseconds: int) -> None:
        self.now_us += microseconds


class RedisClock(Clock):
    """The same, as a key that the scripts read instead of the server's time."""

    def __init__(self, redis: ScriptedRedis) -> None:
        super().__init__()
        self._redis = redis
        self._key = f"clock:{secrets.token_hex(8)}"

    @property
    def lua(self) -> str:
        return f"local function clock() return tonumber(redis.call('GET', '{self._key}')) end"

    async def advance(self, microseconds: int) -> None:
        await super().advance(microseconds)
        await self._redis.client.set(self._key, self.now_us)


@asynccontextmanager
async def memory_store() -> AsyncIterator[tuple[BucketStore, Clock]]:
    clock = Clock()
    store = MemoryBucketStore(clock)
    yield store, clock
    await store.close()


@asynccontextmanager
async def redis_store(url: str) -> AsyncIterator[tuple[BucketStore, Clock]]:
    redis = ScriptedRedis.connect(url, timeout_seconds=10, max_connections=4)
    clock = RedisClock(redis)
    await clock.advance(0)
    store = RedisBucketStore(redis, clock.lua)
    yield store, clock
    await store.close()
