"""Calls to a peer over one stream: in order, renewed, and each with an end of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest

from services._runtime.calling.channel import Caller, open_channel
from services._runtime.calling.exchange import Exchange
from services._runtime.configuration.settings import ProcessSettings
from services._runtime.errors import Code, GatewayError, QuotaViolation
from services._runtime.rpc.boundary import Boundary
from services._runtime.rpc.interceptors import GatewayInterceptor
from services._runtime.rpc.server import GrpcServer, Service
from services._runtime.telemetry.telemetry import make_telemetry
from tests.service._runtime.conftest import Connect, Served, Streams, lasting, until
from tests.service._runtime.echo import NAME, TRUSTED_METHODS, EchoServicer, add_echo, request
from tests.support.grpc_aio import LoopThread


def immediate() -> Caller:
    return Caller(random_unit=lambda: 0.0)


async def fail(exchange: Exchange, asked: Any, timeout_seconds: float = 5.0) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await exchange(asked, timeout=timeout_seconds)
    return raised.value


async def answer(exchange: Exchange, text: str) -> str:
    return str((await exchange(request(text), timeout=5)).text)


async def test_calls_are_answered_in_order_over_one_stream(echo: Served, connect: Connect) -> None:
    streams = connect(echo)
    exchange = lasting(streams)
    words = [f"word {number}" for number in range(50)]
    assert [await answer(exchange, word) for word in words] == words
    assert len(streams.opened) == 1


async def test_a_stream_is_renewed_after_its_time(echo: Served, connect: Connect) -> None:
    streams = connect(echo)
    exchange = Exchange([streams], renewal_seconds=0.02)
    async with asyncio.timeout(10):
        while len(streams.opened) < 3:
            assert await answer(exchange, "a") == "a"
    await until(lambda: all(stream.done() for stream in streams.opened))
    assert {await stream.code() for stream in streams.opened} == {grpc.StatusCode.OK}


async def test_a_call_that_outlasts_its_streams_time_is_answered_on_it(
    echo: Served, connect: Connect
) -> None:
    streams = connect(echo)
    exchange = Exchange([streams], renewal_seconds=0.01)
    call = asyncio.create_task(exchange(request("long", mode="wait"), timeout=5))
    await echo.servicer.entered.wait()
    await asyncio.sleep(0.02)
    echo.servicer.release.set()
    assert (await call).text == "long"
    assert await answer(exchange, "next") == "next"
    assert len(streams.opened) == 2


async def test_renewed_streams_spread_over_the_replicas(serve: Callable[..., Any], connect: Connect) -> None:
    replicas = [await serve(), await serve()]
    exchange = Exchange([connect(*replicas)], renewal_seconds=0.0)
    async with asyncio.timeout(10):
        while not all(replica.servicer.calls >= 5 for replica in replicas):
            await answer(exchange, "a")


async def test_each_renewal_takes_the_next_connection(serve: Callable[..., Any], connect: Connect) -> None:
    one, other = await serve(), await serve()
    exchange = Exchange([connect(one), connect(other)], renewal_seconds=0.0)
    async with asyncio.timeout(10):
        while not (one.servicer.calls and other.servicer.calls):
            await answer(exchange, "a")


async def test_a_stream_stays_with_its_replica(serve: Callable[..., Any], connect: Connect) -> None:
    replicas = [await serve(), await serve()]
    exchange = lasting(connect(*replicas))
    for _ in range(20):
        await answer(exchange, "a")
    assert sorted(replica.servicer.calls for replica in replicas) == [0, 20]


async def test_a_peer_that_ends_between_two_calls_is_replaced_without_an_error(
    serve: Callable[..., Any], connect: Connect
) -> None:
    first = await serve()
    streams = connect(first)
    exchange = lasting(streams)
    await answer(exchange, "a")
    await first.server.stop()
    second = await serve(listen=first.address)
    await until(streams.opened[0].done)
    await streams.channel.channel_ready()
    assert await answer(exchange, "b") == "b"
    assert second.servicer.calls == 1


async def test_a_peer_that_goes_away_during_a_call_is_unavailable(echo: Served, connect: Connect) -> None:
    exchange = lasting(connect(echo))
    call = asyncio.create_task(fail(exchange, request("a", mode="wait")))
    await echo.servicer.entered.wait()
    await echo.server.stop()
    assert (await call).code() is grpc.StatusCode.UNAVAILABLE


async def test_the_call_of_a_peer_that_goes_away_is_made_again_with_another(
    serve: Callable[..., Any], connect: Connect
) -> None:
    replicas = [await serve(), await serve()]
    warm = Exchange([streams := connect(*replicas)], renewal_seconds=0.0)
    async with asyncio.timeout(10):
        while not all(replica.servicer.calls for replica in replicas):
            await answer(warm, "a")
    exchange = lasting(streams)
    call = asyncio.create_task(immediate().call(exchange, request("b", mode="wait"), timeout_seconds=10))
    await until(lambda: any(replica.servicer.entered.is_set() for replica in replicas))
    asked, other = sorted(replicas, key=lambda replica: not replica.servicer.entered.is_set())
    other.servicer.release.set()
    await asked.server.stop()
    assert (await call).text == "b"


@asynccontextmanager
async def served_elsewhere() -> AsyncIterator[str]:
    interceptor = GatewayInterceptor(Boundary("echo", make_telemetry("echo")), TRUSTED_METHODS)
    process = ProcessSettings(lame_duck_seconds=0.0, drain_seconds=0.0)
    server = GrpcServer(process, [Service(NAME, partial(add_echo, EchoServicer()))], [interceptor])
    yield f"127.0.0.1:{await server.start()}"
    await server.stop()


async def test_a_peer_that_went_away_unnoticed_is_unavailable_and_no_defect() -> None:
    thread = LoopThread()
    for _ in range(5):
        peer = served_elsewhere()
        async with open_channel(thread.run(peer.__aenter__())) as channel:
            exchange = lasting(Streams(channel))
            await answer(exchange, "a")
            # This loop stands still meanwhile: nothing has told it of the end when it calls again.
            thread.run(peer.__aexit__(None, None, None))
            time.sleep(0.02)  # noqa: ASYNC251
            assert (await fail(exchange, request("b"))).code() is grpc.StatusCode.UNAVAILABLE
    thread.close()


async def test_a_peer_that_ends_a_stream_without_an_answer_is_unavailable() -> None:
    async def hang_up(_requests: Any, rpc: Any) -> None:
        await rpc.read()

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Exchange": grpc.stream_stream_rpc_method_handler(hang_up)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        error = await fail(lasting(Streams(channel)), request("a"))
    assert (error.code(), error.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "the peer ended the stream before it answered",
    )
    await server.stop(None)


async def test_a_call_without_an_answer_in_time_is_late_and_the_next_gets_its_own(
    echo: Served, connect: Connect
) -> None:
    streams = connect(echo)
    exchange = lasting(streams)
    await answer(exchange, "warm")
    error = await fail(exchange, request("late", mode="wait"), timeout_seconds=0.05)
    assert (error.code(), error.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "no answer in 0.050 s")
    echo.servicer.release.set()
    assert await answer(exchange, "next") == "next"
    assert len(streams.opened) == 2


async def test_a_refused_request_arrives_with_its_reason_and_the_next_is_served(
    echo: Served, connect: Connect
) -> None:
    streams = connect(echo)
    exchange = lasting(streams)
    await answer(exchange, "a")
    with pytest.raises(GatewayError, match="slow down") as raised:
        await immediate().call(exchange, request(mode="limited"), timeout_seconds=5)
    error = raised.value
    assert (error.code, error.reason, error.domain) == (
        Code.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "echo.headgate",
    )
    assert error.quota_violations == (QuotaViolation("limit:rpm", "60 a minute"),)
    assert error.retry_after_seconds == 2.5
    assert await answer(exchange, "b") == "b"
    assert (len(streams.opened), echo.servicer.calls) == (2, 3)


async def test_a_request_that_is_unavailable_is_made_again(echo: Served, connect: Connect) -> None:
    echo.servicer.unavailable_times = 2
    response = await immediate().call(lasting(connect(echo)), request("a", mode="flaky"), timeout_seconds=5)
    assert (response.text, echo.servicer.calls) == ("a", 3)


async def test_a_defect_of_the_peer_is_internal(echo: Served, connect: Connect) -> None:
    exchange = lasting(connect(echo))
    error = await fail(exchange, request(mode="boom"))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "an internal error; the log has it" in (error.details() or "")
    assert await answer(exchange, "a") == "a"


async def test_bytes_that_are_no_message_are_an_invalid_argument(echo: Served, connect: Connect) -> None:
    streams = connect(echo, codecs={"request_serializer": bytes})
    with pytest.raises(GatewayError, match="not a valid request message") as raised:
        await immediate().call(lasting(streams), b"\xff\xff", timeout_seconds=5)
    assert (raised.value.code, raised.value.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert echo.counted("Exchange", "INVALID_ARGUMENT") == 1


async def test_what_is_too_large_to_be_sent_is_refused_as_such(echo: Served, connect: Connect) -> None:
    exchange = Exchange([connect(echo, max_message_bytes=1000)], max_message_bytes=1000)
    await answer(exchange, "a")
    error = await fail(exchange, request("x" * 2000))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "can't be sent; 1000 are the most" in (error.details() or "")
    assert await answer(exchange, "b") == "b"


async def test_what_is_too_large_to_be_taken_names_its_field(
    serve: Callable[..., Any], connect: Connect
) -> None:
    served = await serve(max_message_bytes=1000)
    exchange = lasting(connect(served))
    error = await fail(exchange, request("x" * 1500))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "parts[0].text" in (error.details() or "")


async def test_an_idle_stream_delays_a_peers_end_by_no_more_than_the_renewal(
    serve: Callable[..., Any], connect: Connect
) -> None:
    served: Served = await serve(drain_seconds=60.0)
    exchange = Exchange([connect(served)], renewal_seconds=0.2)
    await answer(exchange, "a")
    async with asyncio.timeout(10):
        await served.server.stop()


async def test_an_idle_stream_is_opened_anew_only_for_the_next_call(echo: Served, connect: Connect) -> None:
    streams = connect(echo)
    exchange = Exchange([streams], renewal_seconds=0.0)
    await answer(exchange, "a")
    await until(streams.opened[0].done)
    assert len(streams.opened) == 1
    assert await answer(exchange, "b") == "b"
    assert len(streams.opened) == 2


async def test_a_cancelled_call_is_cancelled_at_the_peer_and_the_next_is_served(
    echo: Served, connect: Connect
) -> None:
    exchange = lasting(connect(echo))
    call = asyncio.create_task(exchange(request("a", mode="wait"), timeout=60))
    await echo.servicer.entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: echo.counted("Exchange", "CANCELLED") == 1)
    assert echo.in_flight("Exchange") == 0
    assert await answer(exchange, "b") == "b"


async def test_a_call_cancelled_before_its_stream_is_open_leaves_none_behind(
    echo: Served, connect: Connect
) -> None:
    streams = connect(echo)
    exchange = lasting(streams)
    call = asyncio.create_task(exchange(request("a"), timeout=60))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert streams.opened[0].cancelled()
    assert await answer(exchange, "b") == "b"
