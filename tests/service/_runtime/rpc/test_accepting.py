"""How calls are taken from gRPC's core: many at a time, and when the server stops each that was taken is answered."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from services._runtime.rpc.accepting import CALLS_ASKED_FOR
from tests.service._runtime.conftest import Served
from tests.service._runtime.echo import request

TURN_SECONDS = 0.01
CALLS = 10 * CALLS_ASKED_FOR


async def test_calls_that_wait_together_begin_together(echo: Served) -> None:
    method = echo.unary()
    await method(request("warm"))
    calls = [asyncio.ensure_future(method(request("a", mode="wait"))) for _ in range(CALLS)]
    turns = 0
    while echo.servicer.calls <= CALLS:
        time.sleep(TURN_SECONDS)  # noqa: ASYNC251 - a loop that is busy
        await asyncio.sleep(0)
        turns += 1
    # One after the other they take five turns each.
    assert turns < 3 * CALLS
    echo.servicer.release.set()
    assert {answer.text for answer in await asyncio.gather(*calls)} == {"a"}


@pytest.mark.parametrize("before_the_stop", [0.0, 0.01, 0.05])
async def test_every_call_that_meets_a_stop_ends_and_those_that_were_taken_are_answered(
    serve: Callable[..., Any], before_the_stop: float
) -> None:
    served: Served = await serve(drain_seconds=1.0)
    method = served.unary()
    calls = [asyncio.ensure_future(method(request("a"), timeout=60)) for _ in range(8 * CALLS)]
    await asyncio.sleep(before_the_stop)
    async with asyncio.timeout(20):
        await served.server.stop()
        ends = await asyncio.gather(*calls, return_exceptions=True)
    kinds = Counter(
        end.code() if isinstance(end, grpc.aio.AioRpcError) else type(end).__name__ for end in ends
    )
    # CANCELLED is what core makes of those that it had, and nobody had taken; UNAVAILABLE of one that it loses, after the drain.
    assert set(kinds) <= {"EchoResponse", grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert kinds["EchoResponse"] == served.servicer.calls


async def test_a_loop_that_ends_without_a_stop_waits_for_no_call_and_says_nothing() -> None:
    # In a process of its own: a server that nobody stops stays with the process.
    program = """
import asyncio
from services._runtime.rpc.accepting import make_server

async def begin():
    server = make_server((), ())
    server.add_insecure_port("127.0.0.1:0")
    await server.start()

asyncio.run(begin())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    assert (process.returncode, said) == (0, b"")
