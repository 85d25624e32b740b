"""A start waits for its peers, says for whom, and not for ever."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from services._runtime.calling import readiness
from services._runtime.calling.channel import open_channel
from services._runtime.calling.readiness import missing_peers

PATIENCE_SECONDS = 30.0


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def silent(_names: list[str]) -> None:
    return


async def test_all_connections_are_open_when_it_ends(echo: Any) -> None:
    channels = [open_channel(echo.address) for _ in range(4)]
    assert await missing_peers({"echo": channels}, PATIENCE_SECONDS, silent) == []
    assert {channel.get_state() for channel in channels} == {grpc.ChannelConnectivity.READY}
    for channel in channels:
        await channel.close()


async def test_a_peer_that_comes_late_is_named_and_waited_for(
    serve: Callable[..., Any], echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "TELL_AFTER_SECONDS", 0.05)
    address, told = free_address(), asyncio.Event()
    early, late = open_channel(echo.address), open_channel(address)
    heard: list[str] = []

    def tell(names: list[str]) -> None:
        heard.extend(names)
        told.set()

    waiting = asyncio.create_task(missing_peers({"early": [early], "late": [late]}, PATIENCE_SECONDS, tell))
    await told.wait()
    await serve(listen=address)
    assert await waiting == []
    assert heard == ["late"]
    for channel in (early, late):
        await channel.close()


async def test_a_peer_that_never_comes_is_missing_after_the_time_given() -> None:
    async with open_channel(free_address()) as channel:
        assert await missing_peers({"billing": [channel]}, 0.1, silent) == ["billing"]


async def test_a_peer_that_says_it_does_not_serve_is_not_there_yet(echo: Any) -> None:
    await echo.server._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    async with open_channel(echo.address) as channel:
        waiting = asyncio.create_task(missing_peers({"echo": [channel]}, PATIENCE_SECONDS, silent))
        await channel.channel_ready()
        assert not waiting.done()
        await echo.server._health.set("", health_pb2.HealthCheckResponse.SERVING)
        assert await waiting == []
