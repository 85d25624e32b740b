"""Pings: as often as clients send them through a long silence, and no flood of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services._runtime.rpc import server
from tests.service._runtime.echo import NAME, request
from tests.support.http2 import ACK, ENHANCE_YOUR_CALM, GOAWAY, PING, Frame, RawConnection, error_code

LEAST_SECONDS = 0.02
EVERY_SECONDS = 5 * LEAST_SECONDS
"""As clients that ping every 5 s are to the second that is allowed."""
PINGS = 15


@pytest.fixture
async def silent(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose times are a fiftieth of the real ones."""
    monkeypatch.setattr(server, "LEAST_PING_INTERVAL_MS", round(LEAST_SECONDS * 1000))
    return await serve()


def ping(number: int) -> Frame:
    return Frame(PING, payload=number.to_bytes(8))


async def begin_silence(connection: RawConnection, served: Any) -> None:
    """A call that is not answered before the test says so."""
    connection.begin_call(1, f"/{NAME}/Echo", request("late", mode="wait").SerializeToString())
    await served.servicer.entered.wait()


async def test_a_client_may_ping_through_a_silence_for_as_long_as_it_waits(silent: Any) -> None:
    async with RawConnection.opened(silent.address) as connection:
        await begin_silence(connection, silent)
        answered: list[int] = []

        async def read() -> Frame | None:
            async for frame in connection.frames():
                if frame.kind == PING and frame.flags & ACK:
                    answered.append(int.from_bytes(frame.payload))
                if frame.kind == GOAWAY or answered == list(range(PINGS)):
                    return frame
            return None

        reading = asyncio.create_task(read())
        for number in range(PINGS):
            connection.send(ping(number))
            await asyncio.sleep(EVERY_SECONDS)
        last = await asyncio.wait_for(reading, 30)
        assert last is not None
        assert (last.kind, answered) == (PING, list(range(PINGS)))
        silent.servicer.release.set()


async def test_a_flood_of_pings_ends_the_connection_and_says_why(silent: Any) -> None:
    async with RawConnection.opened(silent.address) as connection:
        await begin_silence(connection, silent)
        connection.send(*map(ping, range(PINGS)))
        goaways = [frame async for frame in connection.frames() if frame.kind == GOAWAY]
        assert [error_code(frame) for frame in goaways][-1:] == [ENHANCE_YOUR_CALM]
        assert b"too_many_pings" in goaways[-1].payload
        silent.servicer.release.set()
