"""Callers that send what no client sends: they are refused, and what they hold is freed."""

import asyncio
import gc
import struct
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from services._runtime.configuration.settings import Secret
from services._runtime.rpc.authentication import require_internal_token
from services._runtime.rpc.boundary import Call
from services._runtime.rpc.interceptors import FEW_FIELDS
from tests.service._runtime.conftest import Served
from tests.service._runtime.echo import NAME, request
from tests.support.http2 import DATA, HEADERS, RST_STREAM, Frame, RawConnection

TOKEN = "right"
PROMISED_BYTES = 15_000_000
REFUSALS = 20


@pytest.fixture
async def guarded(serve: Callable[..., Any]) -> Any:
    return await serve(authenticate=require_internal_token(Secret(TOKEN)))


def begin_message(connection: RawConnection, token: str | None) -> None:
    """The head of a large message, and never the rest."""
    metadata = [] if token is None else [("authorization", f"Bearer {token}")]
    connection.begin_headers(1, f"/{NAME}/Echo", metadata)
    connection.send(Frame(DATA, 0, 1, struct.pack(">BI", 0, PROMISED_BYTES) + b"x" * 1000))


async def _answer(call: Any) -> Any:
    return await call


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


async def test_a_request_of_many_fields_waits_for_no_other_callers(echo: Served) -> None:
    many = request(*["x"] * FEW_FIELDS)

    def ask(caller: str) -> asyncio.Task[Any]:
        call = echo.unary()(many, metadata=(("authorization", f"Bearer {caller}"),), timeout=60)
        return asyncio.create_task(_answer(call))

    mine = echo.interceptor._turns.setdefault("Bearer a", asyncio.Lock())
    async with mine:
        waiting = ask("a")
        assert (await ask("b")).text == "x" * FEW_FIELDS
        assert not waiting.done()
    assert (await waiting).text == "x" * FEW_FIELDS


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    ("method", "broken", "token"),
    [
        ("Echo", request(""), TOKEN),
        ("Echo", request(*[""] * FEW_FIELDS), TOKEN),
        ("Echo", request("fine", mode="limited"), TOKEN),
        ("Echo", request("fine"), "wrong"),
        ("BatchEcho", request("fine", mode="limited"), TOKEN),
    ],
    ids=["a rule", "a rule among many fields", "a servicer's refusal", "a wrong token", "a trusted method"],
)
async def test_what_a_refused_call_held_is_free_without_the_collector(
    guarded: Served, method: str, broken: Any, token: str
) -> None:
    """GRPC keeps what a call was aborted with; a trace in it would lead back to the call, and to the request."""
    metadata = (("authorization", f"Bearer {token}"),)
    for _ in range(REFUSALS):
        with pytest.raises(grpc.aio.AioRpcError):
            await guarded.unary(method)(broken, metadata=metadata)
    await asyncio.sleep(0)
    held = sum(isinstance(each, Call) for each in gc.get_objects())
    assert held < REFUSALS / 2
