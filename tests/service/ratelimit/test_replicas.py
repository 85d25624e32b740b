"""Several services on one Redis are one limiter; one whose Redis is away says so."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from services._runtime.errors import GatewayError
from services._runtime.status import from_rpc_error
from services._runtime.telemetry.telemetry import make_telemetry
from tests.service.ratelimit.calls import hourly, reserve
from tests.service.ratelimit.conftest import PREFIX, serve_with
from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceAsyncStub

CALL_SECONDS = 20


def variables(url: str, timeout_seconds: float = 10) -> dict[str, str]:
    return {
        f"{PREFIX}STORE": url,
        f"{PREFIX}STORE_TIMEOUT_SECONDS": str(timeout_seconds),
        f"{PREFIX}REFRESH_SECONDS": "0.05",
    }


def channel(port: int) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}")


async def error_of(call: "grpc.aio.UnaryUnaryCall[pb.ReserveRequest, pb.ReserveResponse]") -> GatewayError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_a_limit_set_on_one_replica_binds_on_all_and_is_counted_once(redis_url: str) -> None:
    environ = variables(redis_url)
    async with (
        serve_with(environ, make_telemetry("a")) as one,
        serve_with(environ, make_telemetry("b")) as two,
        channel(one) as first,
        channel(two) as second,
    ):
        stubs = [RateLimitServiceStub(first), RateLimitServiceStub(second)]
        await stubs[0].SetLimit(pb.SetLimitRequest(limit=hourly("shared", "acme", 50)))
        async with asyncio.timeout(CALL_SECONDS):
            while not (await stubs[1].Reserve(reserve("probe", "acme"))).statuses:
                pass
        etags = {(await stub.ListLimits(pb.ListLimitsRequest())).etag for stub in stubs}
        assert len(etags) == 1
        batches = [
            stubs[number % 2].BatchReserve(
                pb.BatchReserveRequest(
                    requests=[reserve(f"{number}-{item}", "acme", requests=1) for item in range(4)]
                )
            )
            for number in range(32)
        ]
        results = [result for batch in [await each for each in batches] for result in batch.results]
        assert sum(result.HasField("response") for result in results) == 50


async def test_while_redis_is_away_calls_are_refused_in_time_and_served_after(tmp_path: Path) -> None:
    telemetry = make_telemetry("ratelimit")
    with RedisServer.running(tmp_path) as redis:
        async with serve_with(variables(redis.url, 0.1), telemetry) as port, channel(port) as opened:
            stub = RateLimitServiceStub(opened)
            await stub.SetLimit(pb.SetLimitRequest(limit=hourly("shared", "acme", 5)))
            redis.pause()
            error = await error_of(stub.Reserve(reserve("a", "acme", requests=1), timeout=CALL_SECONDS))
            assert (error.code.name, error.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
            redis.resume()
            (status,) = (await stub.Reserve(reserve("a", "acme", requests=1))).statuses
            assert status.remaining == 4
    assert telemetry.registry.get_sample_value("headgate_ratelimit_store_errors_total") == 1


async def test_a_service_that_starts_before_its_redis_admits_nothing_until_it_is_there(
    tmp_path: Path,
) -> None:
    redis = RedisServer(tmp_path)
    redis.start()
    redis.kill()
    async with (
        serve_with(variables(redis.url, 0.75), make_telemetry("ratelimit")) as port,
        channel(port) as opened,
    ):
        stub = RateLimitServiceStub(opened)
        error = await error_of(stub.Reserve(reserve("a", "acme", requests=1), timeout=CALL_SECONDS))
        assert error.reason == "STORE_UNAVAILABLE"
        redis.start()
        async with asyncio.timeout(CALL_SECONDS):
            while not await admitted(stub):
                pass
    redis.kill()


async def admitted(stub: "RateLimitServiceAsyncStub") -> bool:
    try:
        await stub.Reserve(reserve("b", "acme", requests=1))
    except grpc.aio.AioRpcError:
        return False
    return True
