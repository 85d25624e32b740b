"""Pings: as often as clients send them through a long silence, and no flood of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services._runtime.rpc import server
from tests.service._runtime.conftest import Served
from tests.service._runtime.echo import NAME, request
from tests.support.http2 import ACK, ENHANCE_YOUR_CALM, GOAWAY, PING, Frame, RawConnection, error_code

LEAST_SECONDS = 0.02
PINGS = 20
FLOOD_SECONDS = 0.05


class PingingClient:
    """Sends the next ping some time after the last is acknowledged, as gRPC's clients do: none comes sooner than that."""

    def __init__(self, connection: RawConnection) -> None:
        self._connection = connection
        self._frames = connection.frames()

    async def goaway_within(self, pings: int, pause_seconds: float) -> Frame | None:
        """What ended the connection; None: all pings were acknowledged."""
        for number in range(pings):
            self._connection.send(Frame(PING, payload=number.to_bytes(8)))
            if (goaway := await self._goaway_before_ack()) is not None:
                return goaway
            await asyncio.sleep(pause_seconds)
        return None

    async def _goaway_before_ack(self) -> Frame | None:
        async with asyncio.timeout(30):
            async for frame in self._frames:
                if frame.kind == GOAWAY:
                    return frame
                if frame.kind == PING and frame.flags & ACK:
                    return None
        raise AssertionError("the server closed the connection and did not say why")


@pytest.fixture
async def hurried(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server whose second is a fiftieth of one."""
    monkeypatch.setattr(server, "LEAST_PING_INTERVAL_MS", round(LEAST_SECONDS * 1000))
    served: Served = await serve()
    return served


async def begin_silence(connection: RawConnection, served: Served) -> None:
    """A call that is not answered before the test says so."""
    connection.begin_call(1, f"/{NAME}/Echo", request("late", mode="wait").SerializeToString())
    await served.servicer.entered.wait()


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "idle"])
async def test_a_client_may_ping_for_as_long_as_it_likes_when_none_comes_too_soon(
    hurried: Served, waits: bool
) -> None:
    async with RawConnection.opened(hurried.address) as connection:
        if waits:
            await begin_silence(connection, hurried)
        assert await PingingClient(connection).goaway_within(PINGS, 1.5 * LEAST_SECONDS) is None
        hurried.servicer.release.set()


async def test_two_that_come_too_soon_are_forgiven(hurried: Served) -> None:
    async with RawConnection.opened(hurried.address) as connection:
        await begin_silence(connection, hurried)
        client = PingingClient(connection)
        assert await client.goaway_within(3, 0.0) is None
        await asyncio.sleep(LEAST_SECONDS)
        assert await client.goaway_within(PINGS, 1.5 * LEAST_SECONDS) is None
        hurried.servicer.release.set()


async def test_a_flood_of_pings_ends_the_connection_and_says_why(echo: Served) -> None:
    async with RawConnection.opened(echo.address) as connection:
        await begin_silence(connection, echo)
        goaway = await PingingClient(connection).goaway_within(100, FLOOD_SECONDS)
        assert goaway is not None
        assert error_code(goaway) == ENHANCE_YOUR_CALM
        assert b"too_many_pings" in goaway.payload
        echo.servicer.release.set()
