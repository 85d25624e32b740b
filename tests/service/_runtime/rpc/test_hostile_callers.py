"""Callers that send what no client sends: they are refused, and what they hold is freed."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest

from services._runtime.configuration.settings import Secret
from services._runtime.rpc.authentication import require_internal_token
from tests.service._runtime.conftest import Served
from tests.service._runtime.echo import NAME
from tests.support.http2 import DATA, HEADERS, RST_STREAM, Frame, RawConnection

TOKEN = "right"
PROMISED_BYTES = 15_000_000


@pytest.fixture
async def guarded(serve: Callable[..., Any]) -> Any:
    return await serve(authenticate=require_internal_token(Secret(TOKEN)))


def begin_message(connection: RawConnection, token: str | None) -> None:
    """The head of a large message, and never the rest."""
    metadata = [] if token is None else [("authorization", f"Bearer {token}")]
    connection.begin_headers(1, f"/{NAME}/Echo", metadata)
    connection.send(Frame(DATA, 0, 1, struct.pack(">BI", 0, PROMISED_BYTES) + b"x" * 1000))


async def first(connection: RawConnection, *kinds: int) -> Frame:
    async for frame in connection.frames():
        if frame.kind in kinds:
            return frame
    raise AssertionError("the connection was closed")


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_who_is_not_known_is_refused_before_the_request_is_there(
    guarded: Served, token: str | None
) -> None:
    async with RawConnection.opened(guarded.address) as connection, asyncio.timeout(30):
        begin_message(connection, token)
        refusal = await first(connection, HEADERS, RST_STREAM)
        assert refusal.kind == HEADERS
        assert guarded.servicer.calls == 0
    assert guarded.counted("Echo", "UNAUTHENTICATED") == 1
