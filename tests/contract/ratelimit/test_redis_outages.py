"""Redis on its own clock: its keys expire, its scripts are given again, and its absence is an error in time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from services.ratelimit.errors import StoreUnavailableError
from services.ratelimit.stores.redis import RedisBucketStore
from services.ratelimit.stores.redis_limits import RedisLimitStore
from services.ratelimit.stores.redis_script import ScriptedRedis
from tests.contract.ratelimit.requests import asking, buckets, token_limit, using, window_limit
from tests.support.redis_server import RedisServer

BUCKET, WINDOW = token_limit("bucket", burst=10), window_limit("window", maximum=10)
# Long enough for an answer on a busy machine, short enough to wait for an absence.
TIMEOUT_SECONDS = 0.75
PATIENT_SECONDS = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[ScriptedRedis]:
    server.flush()
    opened = ScriptedRedis.connect(server.url, TIMEOUT_SECONDS, max_connections=4)
    yield opened
    await opened.close()


@pytest.fixture
def store(redis: ScriptedRedis) -> RedisBucketStore:
    return RedisBucketStore(redis)


@pytest.fixture
async def patient_store(server: RedisServer) -> AsyncIterator[RedisBucketStore]:
    server.flush()
    opened = ScriptedRedis.connect(server.url, PATIENT_SECONDS, max_connections=4)
    yield RedisBucketStore(opened)
    await opened.close()


async def test_every_key_of_buckets_and_reservations_expires(
    store: RedisBucketStore, redis: ScriptedRedis
) -> None:
    await store.reserve([asking("a", 3, BUCKET, WINDOW), asking("b", 3, BUCKET, WINDOW)])
    await store.settle([using("a", 0)])
    await store.renew("acme", "b", 5_000_000)
    await store.release("acme", "b")
    keys = await redis.client.keys("*")
    assert len(keys) == 4
    for key in keys:
        assert 0 < await redis.client.pttl(key) <= 700_000


async def test_keys_of_one_organisation_share_a_hash_tag(
    store: RedisBucketStore, redis: ScriptedRedis
) -> None:
    await store.reserve([asking("a", 3, BUCKET, WINDOW)])
    assert all("{acme}:" in str(key) for key in await redis.client.keys("*"))


async def test_a_redis_that_forgot_the_scripts_is_given_them_again(
    store: RedisBucketStore, redis: ScriptedRedis
) -> None:
    await store.reserve([asking("a", 3, BUCKET)])
    await redis.client.script_flush()
    assert await store.settle([using("a", 1)]) == [True]
    assert (await store.peek(buckets(BUCKET)))[0].remaining == 9


async def test_a_redis_that_does_not_answer_is_an_error_in_time(
    store: RedisBucketStore, redis: ScriptedRedis, server: RedisServer
) -> None:
    await store.reserve([asking("a", 3, WINDOW)])
    server.pause()
    started = time.monotonic()
    for call in (store.reserve([asking("b", 3, WINDOW)]), store.settle([using("a", 1)])):
        with pytest.raises(StoreUnavailableError):
            await call
    with pytest.raises(StoreUnavailableError):
        await RedisLimitStore(redis).version()
    assert time.monotonic() - started < 3 * TIMEOUT_SECONDS + 2
    server.resume()


async def test_after_a_pause_answers_belong_to_their_questions(
    store: RedisBucketStore, server: RedisServer
) -> None:
    server.pause()
    lost = [store.reserve([asking(f"lost-{i}", 1, WINDOW)]) for i in range(3)]
    answers = await asyncio.gather(*lost, return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
    server.resume()
    (standing,) = await store.peek(buckets(WINDOW))
    # Redis may have run what nobody waited for; trying again with the same ids takes nothing twice.
    await store.reserve([asking(f"lost-{i}", 1, WINDOW) for i in range(3)])
    assert (await store.peek(buckets(WINDOW)))[0].remaining == 7
    assert standing.remaining >= 7


async def test_a_redis_that_was_restarted_is_used_again(store: RedisBucketStore, server: RedisServer) -> None:
    await store.reserve([asking("a", 3, WINDOW)])
    server.kill()
    with pytest.raises(StoreUnavailableError):
        await store.reserve([asking("b", 3, WINDOW)])
    server.start()
    (decision,) = await store.reserve([asking("b", 3, WINDOW)])
    assert decision.standings[0].remaining == 7


async def test_sixty_four_callers_at_once_never_take_more_than_there_is(
    patient_store: RedisBucketStore,
) -> None:
    limit = window_limit("slow", maximum=20, seconds=3600)
    answers = await asyncio.gather(
        *(patient_store.reserve([asking(f"r{i}", 1, limit)]) for i in range(64)), return_exceptions=True
    )
    assert not any(isinstance(answer, BaseException) for answer in answers)
    admitted = [answer for answer in answers if isinstance(answer, list) and answer[0].admitted]
    assert len(admitted) == 20
