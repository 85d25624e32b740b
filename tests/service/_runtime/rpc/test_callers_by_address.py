"""A caller whom the metadata does not make known is judged with its address, and served as any other."""

import asyncio
import gc
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import grpc
import pytest

from services._runtime.errors import InvalidTokenError
from services._runtime.rpc.authentication import AddressNeededError
from services._runtime.rpc.boundary import Call
from tests.service._runtime.conftest import Served, until
from tests.service._runtime.echo import CODECS, NAME, request
from tests.support.http2 import HEADERS, RawConnection
from tests.support.rpc_errors import refused

TOKEN = (("authorization", "Bearer right"),)


class Desk:
    """Knows nobody by the metadata, and lets everybody in who has the token."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    async def __call__(self, metadata: Mapping[str, Any]) -> NoReturn:
        async def ask(address: str) -> str:
            self.addresses.append(address)
            if metadata.get("authorization") != "Bearer right":
                raise InvalidTokenError("not this one")
            return "ann"

        raise AddressNeededError(ask)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def guarded(serve: Callable[..., Any], desk: Desk) -> Any:
    return await serve(authenticate=desk)


async def test_it_is_told_where_the_call_comes_from(guarded: Served, desk: Desk) -> None:
    answer = await guarded.unary()(request(mode="principal"), metadata=TOKEN)
    assert answer.text == "ann"
    assert desk.addresses == ["127.0.0.1"]


@pytest.mark.parametrize("method", ["Yield", "Write"])
async def test_a_stream_of_responses_is_served(guarded: Served, method: str) -> None:
    call = guarded.stream(method)(request("a", "b"), metadata=TOKEN)
    assert [each.text async for each in call] == ["a", "b"]
    assert await call.code() is grpc.StatusCode.OK
    assert guarded.counted(method, "OK") == 1


async def test_a_stream_of_requests_is_served(guarded: Served) -> None:
    chat = guarded.channel.stream_stream(f"/{NAME}/Chat", **CODECS)
    call = chat(iter([request("a"), request("b")]), metadata=TOKEN)
    assert [each.text async for each in call] == ["a", "b"]


async def test_errors_trailing_metadata_and_validation_are_as_ever(guarded: Served) -> None:
    call = guarded.unary()(request("a", mode="limited"), metadata=TOKEN)
    with refused() as limited:
        await call
    assert limited.reason == "RATE_LIMITED"
    assert ("x-headgate-cost-nanos", "7") in tuple(await call.trailing_metadata())
    with refused() as invalid:
        await guarded.unary()(request(""), metadata=TOKEN)
    assert invalid.reason == "INVALID_FIELD"


@pytest.mark.parametrize("method", ["Echo", "Yield", "Write", "Chat"])
async def test_who_is_refused_is_refused_before_the_request_is_there(guarded: Served, method: str) -> None:
    async with RawConnection.opened(guarded.address) as connection:
        connection.begin_headers(1, f"/{NAME}/{method}", [("authorization", "Bearer wrong")])
        async for frame in connection.frames():
            if frame.kind == HEADERS:
                break
    assert guarded.servicer.calls == 0
    assert guarded.counted(method, "UNAUTHENTICATED") == 1


async def test_a_caller_that_sends_no_request_after_all_is_not_waited_for(
    guarded: Served, desk: Desk
) -> None:
    call = guarded.channel.stream_stream(f"/{NAME}/Echo", **CODECS)(iter([]), metadata=TOKEN)
    assert [each async for each in call] == []
    await until(lambda: guarded.servicer.calls == 0 and desk.addresses == ["127.0.0.1"])


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    ("sent", "token"),
    [(request("fine"), "wrong"), (request(""), "right"), (request(mode="limited"), "right")],
)
async def test_what_a_refused_call_held_is_free_without_the_collector(
    guarded: Served, sent: Any, token: str
) -> None:
    for _ in range(20):
        with pytest.raises(grpc.aio.AioRpcError):
            await guarded.unary()(sent, metadata=(("authorization", f"Bearer {token}"),))
    await asyncio.sleep(0)
    assert sum(isinstance(each, Call) for each in gc.get_objects()) < 10
