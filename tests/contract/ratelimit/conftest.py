"""One suite for every store."""

from collections.abc import AsyncIterator

import pytest

from services.ratelimit.store import BucketStore
from tests.contract.ratelimit.stores import Clock, memory_store, redis_store


@pytest.fixture(params=["memory", "redis"])
async def store_and_clock(request: pytest.FixtureRequest) -> AsyncIterator[tuple[BucketStore, Clock]]:
    if request.param == "memory":
        async with memory_store() as opened:
            yield opened
    else:
        async with redis_store(request.getfixturevalue("redis_url")) as opened:
            yield opened


@pytest.fixture
def store(store_and_clock: tuple[BucketStore, Clock]) -> BucketStore:
    return store_and_clock[0]


@pytest.fixture
def clock(store_and_clock: tuple[BucketStore, Clock]) -> Clock:
    return store_and_clock[1]
