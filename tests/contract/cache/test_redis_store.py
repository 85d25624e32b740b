"""What RedisEntryStore does beyond the port: outages, lost scripts, Redis's own evictions, round trips."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.crc import key_slot

from services.cache.errors import StoreUnavailableError
from services.cache.store import EntryStore
from services.cache.stores.redis import RedisEntryStore
from tests.contract.cache.conftest import redis_store
from tests.support.redis_server import RedisServer
from tests.unit.cache.entries import NOW, SECOND, address, entry, write

TIMEOUT_SECONDS = 0.2


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisEntryStore]:
    made = redis_store(redis_url)
    yield made
    await made.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer.running(tmp_path) as server:
        yield server


@pytest.fixture
async def hasty_store(own_redis: RedisServer) -> AsyncIterator[RedisEntryStore]:
    made = RedisEntryStore.connect(own_redis.url, TIMEOUT_SECONDS, max_ttl_ns=3600 * SECOND)
    yield made
    await made.close()


async def every_operation_fails(store: EntryStore) -> None:
    operations = (
        lambda: store.read([address()], NOW),
        lambda: store.write([write()], NOW),
        lambda: store.forget(address()),
        lambda: store.forget_tag("org", "tag"),
        lambda: store.forget_organization("org"),
    )
    for operation in operations:
        with pytest.raises(StoreUnavailableError, match="Redis is not available"):
            await operation()


async def test_without_redis_every_operation_says_so(
    own_redis: RedisServer, hasty_store: RedisEntryStore
) -> None:
    own_redis.kill()
    await every_operation_fails(hasty_store)


async def test_a_redis_that_hangs_is_given_up_in_time_and_used_again_once_it_answers(
    own_redis: RedisServer, hasty_store: RedisEntryStore
) -> None:
    await hasty_store.write([write()], NOW)
    own_redis.pause()
    started = time.monotonic()
    await every_operation_fails(hasty_store)
    # Five operations, each given up after its own time; the rest is for a machine that is busy.
    assert time.monotonic() - started < 5 * TIMEOUT_SECONDS + 2
    own_redis.resume()
    async for _ in until_it_answers(hasty_store):
        pass
    assert list(await hasty_store.read([address(number=2)], NOW)) == [None]


async def until_it_answers(store: EntryStore) -> AsyncIterator[None]:
    for _ in range(50):
        try:
            await store.write([write(number=9)], NOW)
        except StoreUnavailableError:
            yield
        else:
            return
    pytest.fail("the store did not recover")


async def test_a_redis_that_restarted_is_used_at_once_though_it_lost_scripts_and_connections(
    own_redis: RedisServer, hasty_store: RedisEntryStore
) -> None:
    await hasty_store.write([write()], NOW)
    own_redis.kill()
    own_redis.start()
    assert await hasty_store.read([address()], NOW) == [None]
    await hasty_store.write([write(value=b"after")], NOW)
    assert await hasty_store.read([address()], NOW) == [entry(b"after")]


async def test_a_full_redis_that_evicts_nothing_takes_nothing_and_says_so(
    redis_server: RedisServer, store: RedisEntryStore
) -> None:
    await store.write([write()], NOW)
    with Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailableError, match="not available"):
                await store.write([write(number=2)], NOW)
            assert await store.read([address()], NOW) == [entry()]
        finally:
            client.config_set("maxmemory", 0)


async def test_entries_whose_epochs_redis_evicted_are_misses_and_stay_so(
    redis_server: RedisServer, store: RedisEntryStore
) -> None:
    await store.write([write(number=1, tags=("t",)), write(number=2)], NOW)
    await store.forget_tag("org", "t")
    with Redis.from_url(redis_server.url) as client:
        assert client.delete("hgc1:{org}:epochs") == 1
    await store.write([write(number=3)], NOW)
    found = await store.read([address(number=number) for number in (1, 2, 3)], NOW)
    assert found == [None, None, entry()]


async def test_redis_gives_back_the_room_of_an_entry_and_of_an_organisation_that_writes_no_more(
    redis_server: RedisServer, store: RedisEntryStore
) -> None:
    await store.write([write(ttl_seconds=60)], NOW)
    with Redis.from_url(redis_server.url) as client:
        lives = {name: client.pttl(name) for name in client.scan_iter()}
    assert len(lives) == 2
    epochs = lives.pop(b"hgc1:{org}:epochs")
    (entry_life,) = lives.values()
    assert 0 < entry_life <= 60_000 < 30 * 86_400_000 < epochs <= 60 * 86_400_000


async def test_a_call_is_one_command_per_organisation_however_many_items_it_has(
    redis_server: RedisServer, store: RedisEntryStore
) -> None:
    writes = [write(f"org-{number % 2}", number) for number in range(100)]
    addresses = [each.address for each in writes]
    await store.write(writes, NOW)
    await store.read(addresses, NOW)
    with Redis.from_url(redis_server.url) as client:
        client.config_resetstat()
        await store.write(writes, NOW)
        await store.read(addresses, NOW)
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 4


async def test_all_keys_of_an_organisation_are_in_one_slot_of_a_cluster(
    redis_server: RedisServer, store: RedisEntryStore
) -> None:
    for organization_id in ("org", "}", "{}", "a}b{c", "ü"):
        redis_server.flush()
        await store.write([write(organization_id, number) for number in range(8)], NOW)
        with Redis.from_url(redis_server.url) as client:
            assert len({key_slot(name) for name in client.scan_iter()}) == 1


def test_a_malformed_url_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="scheme"):
        RedisEntryStore.connect("http://localhost", 1.0, SECOND)
