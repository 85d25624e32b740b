"""The service with Redis: replicas share entries, and a lost Redis is UNAVAILABLE."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from headgate.cache.v1 import cache_service_pb2 as pb
from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from headgate.common.v1.cache_status_pb2 import CACHE_STATUS_EXACT
from services._runtime.errors import Code
from services._runtime.telemetry.telemetry import make_telemetry
from tests.service.cache.calls import answer, ask, refusal
from tests.service.cache.conftest import serving
from tests.support.grpc_aio import LoopThread
from tests.support.redis_server import RedisServer

SECRET = "a secret that both replicas have"


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer.running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def environ(own_redis: RedisServer) -> dict[str, str]:
    return {
        "HEADGATE_CACHE_STORE": own_redis.url,
        "HEADGATE_CACHE_KEY_SECRET": SECRET,
        # For a machine that is busy with other tests.
        "HEADGATE_CACHE_STORE_TIMEOUT_SECONDS": "5",
    }


def test_one_replica_finds_what_another_stored(
    grpc_stub: CacheServiceStub, grpc_loop: LoopThread, environ: dict[str, str], tmp_path: Path
) -> None:
    key = grpc_stub.Lookup(ask(b"shared")).key
    grpc_stub.Store(answer(key, b"because", tags=["t"]))
    other = serving(environ, tmp_path, make_telemetry("cache"))
    port = grpc_loop.run(other.__aenter__())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        replica = CacheServiceStub(channel)
        found = replica.Lookup(ask(b"shared"))
        assert (found.status, found.key, found.entry.value) == (CACHE_STATUS_EXACT, key, b"because")
        replica.Invalidate(pb.InvalidateRequest(organization_id="org", tag="t"))
    grpc_loop.run(other.__aexit__(None, None, None))
    assert not grpc_stub.Lookup(ask(b"shared")).HasField("entry")


def test_bytes_and_entries_are_absent_for_redis_keeps_them_to_itself(grpc_stub: CacheServiceStub) -> None:
    stats = grpc_stub.GetStats(pb.GetStatsRequest())
    assert (stats.HasField("entries"), stats.HasField("bytes")) == (False, False)


def test_a_lost_redis_is_unavailable_and_its_return_needs_no_restart(
    grpc_stub: CacheServiceStub, own_redis: RedisServer
) -> None:
    own_redis.kill()
    question = pb.BatchLookupRequest(requests=[ask(b"lost")])
    for rpc, request in ((grpc_stub.Lookup, ask(b"lost")), (grpc_stub.BatchLookup, question)):
        error = refusal(rpc, request)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
    own_redis.start()
    key = grpc_stub.Lookup(ask(b"lost")).key
    assert grpc_stub.Store(answer(key)).stored
    assert grpc_stub.Lookup(ask(b"lost")).status == CACHE_STATUS_EXACT
