"""The echo service on a free port, served by the runtime in this process."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import pytest

from services._runtime.calling.channel import open_channel
from services._runtime.calling.exchange import Exchange
from services._runtime.configuration.settings import ProcessSettings
from services._runtime.rpc.authentication import Authenticate
from services._runtime.rpc.boundary import Boundary
from services._runtime.rpc.interceptors import GatewayInterceptor
from services._runtime.rpc.server import GrpcServer, Service
from services._runtime.telemetry.telemetry import Telemetry, make_telemetry
from services._runtime.telemetry.tracing import Tracing
from tests.service._runtime.echo import CODECS, NAME, TRUSTED_METHODS, EchoServicer, add_echo


@dataclass
class Served:
    servicer: EchoServicer
    telemetry: Telemetry
    address: str
    channel: grpc.aio.Channel
    server: GrpcServer
    interceptor: GatewayInterceptor

    def unary(self, method: str = "Echo", **codecs: Any) -> Any:
        return self.channel.unary_unary(f"/{NAME}/{method}", **(CODECS | codecs))

    def stream(self, method: str) -> Any:
        return self.channel.unary_stream(f"/{NAME}/{method}", **CODECS)

    def counted(self, method: str, code: str) -> float:
        labels = {"rpc": f"{NAME}/{method}", "code": code}
        return self.telemetry.registry.get_sample_value("headgate_rpc_requests_total", labels) or 0.0

    def in_flight(self, method: str) -> float | None:
        return self.telemetry.registry.get_sample_value("headgate_rpc_in_flight", {"rpc": f"{NAME}/{method}"})


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    running: list[Served] = []

    async def start(
        *, authenticate: Authenticate | None = None, tracing: Tracing | None = None, **settings: Any
    ) -> Served:
        process = ProcessSettings(**({"lame_duck_seconds": 0.0, "drain_seconds": 0.0} | settings))
        servicer, telemetry = EchoServicer(), make_telemetry("echo", tracing)
        interceptor = GatewayInterceptor(
            Boundary("echo", telemetry, authenticate),
            TRUSTED_METHODS,
            max_message_bytes=process.max_message_bytes,
        )
        server = GrpcServer(process, [Service(NAME, partial(add_echo, servicer))], [interceptor])
        address = f"127.0.0.1:{await server.start()}"
        channel = grpc.aio.insecure_channel(address)
        running.append(Served(servicer, telemetry, address, channel, server, interceptor))
        return running[-1]

    yield start
    for served in running:
        await served.channel.close()
        await served.server.stop()


@pytest.fixture
async def echo(serve: Callable[..., Any]) -> Any:
    return await serve()


class Streams:
    """A peer's exchange method that remembers which streams were opened."""

    def __init__(self, channel: grpc.aio.Channel, **codecs: Any) -> None:
        self.channel = channel
        self._method = channel.stream_stream(f"/{NAME}/Exchange", **(CODECS | codecs))
        self.opened: list[Any] = []

    def __call__(self, **options: Any) -> Any:
        self.opened.append(self._method(**options))
        return self.opened[-1]


Connect = Callable[..., Streams]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        def to(*peers: Served, codecs: dict[str, Any] | None = None, **options: Any) -> Streams:
            target = "ipv4:" + ",".join(peer.address for peer in peers)
            channel = open_channel(target, **options)
            stack.push_async_callback(channel.close)
            return Streams(channel, **(codecs or {}))

        yield to


def lasting(streams: Streams) -> Exchange:
    """One that is not renewed while a test runs."""
    return Exchange([streams], renewal_seconds=3600.0)


async def until(holds: Callable[[], bool]) -> None:
    """What the server does after its client has gone can only be seen by looking again."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - gRPC offers no event for it
            await asyncio.sleep(0.005)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
