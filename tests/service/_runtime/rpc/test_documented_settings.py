"""What docs/connections.md has clients set, against a real server."""

import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.service._runtime.conftest import Served
from tests.service._runtime.echo import CODECS, NAME, request

_DOCS = (Path(__file__).parents[4] / "docs" / "connections.md").read_text(encoding="utf-8")
(SERVICE_CONFIG,) = re.findall(r"^```json\n(.*?)^```$", _DOCS, re.DOTALL | re.MULTILINE)


@asynccontextmanager
async def client(address: str, *, retries: bool = True) -> AsyncIterator[Any]:
    options = [
        ("grpc.service_config", SERVICE_CONFIG),
        ("grpc.enable_retries", int(retries)),
        ("grpc.initial_reconnect_backoff_ms", 100),
    ]
    async with grpc.aio.insecure_channel(address, options) as channel:
        yield channel


def echo_of(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(f"/{NAME}/Echo", **CODECS)


async def test_a_call_is_tried_again_while_the_server_is_unavailable(echo: Served) -> None:
    echo.servicer.unavailable_times = 2
    async with client(echo.address) as channel:
        assert (await echo_of(channel)(request("hi", mode="flaky"), timeout=30)).text == "hi"
    assert echo.servicer.calls == 3


async def test_a_call_that_would_be_billed_again_is_not_tried_again(echo: Served) -> None:
    async with client(echo.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await echo_of(channel)(request("hi", mode="billed"), timeout=30)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert echo.servicer.calls == 1


async def test_a_call_that_comes_before_the_server_waits_for_it(serve: Callable[..., Any]) -> None:
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{kept.getsockname()[1]}"
    async with client(address, retries=False) as channel:
        call = echo_of(channel)(request("early"), timeout=30)
        while (state := channel.get_state()) is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await channel.wait_for_state_change(state)
        await serve(listen=address)
        assert (await call).text == "early"
