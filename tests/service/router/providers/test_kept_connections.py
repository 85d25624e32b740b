"""A kept connection that its server closes just when a request comes: sent once more, on a new one, and never twice to a new one."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.router.targets.provider import FailureKind
from tests.service.router.providers.asking import answer, ask
from tests.service.router.providers.conftest import Build
from tests.support.raw_http import read_request
from tests.support.shapes import anthropic, openai

BODIES = {"openai": openai.body({"content": "hi"}), "anthropic": anthropic.body(anthropic.HI)}
STREAMS = {"openai": openai.answer(openai.say("hi")), "anthropic": anthropic.answer(anthropic.text())}


@asynccontextmanager
async def closing(
    answers: list[int], body: bytes, *, resets: bool = False, begins: bytes = b""
) -> AsyncIterator[tuple[str, list[int]]]:
    """A server whose connections answer so many requests each, the last number for all that follow; then, at the next request, the
    connection is closed, or reset. Yields how many requests came over each.
    """
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body)
    heard: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = len(heard)
        heard.append(0)
        try:
            while True:
                await read_request(reader)
                heard[at] += 1
                if heard[at] > answers[min(at, len(answers) - 1)]:
                    break
                writer.write(head + body)
            if resets:
                # At once, and with what was not sent thrown away: the other side is told of a reset, and of no end.
                connection: socket.socket = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
            writer.write(begins)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", heard


@pytest.fixture
def body(api: str, streamed: bool) -> bytes:
    return (STREAMS if streamed else BODIES)[api]


@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
async def test_it_is_replaced(built: Build, api: str, streamed: bool, body: bytes, resets: bool) -> None:
    async with closing([1], body, resets=resets) as (url, heard):
        provider = built(api, url)
        for _ in range(3):
            got = await answer(ask(provider, streamed=streamed))
            assert got.failure is None
            assert got.text() == "hi"
    assert sum(min(1, requests) for requests in heard) == 3


async def test_a_new_one_is_not(built: Build, api: str, streamed: bool, body: bytes) -> None:
    async with closing([0], body) as (url, heard):
        got = await answer(ask(built(api, url), streamed=streamed))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.CONNECT
    assert heard == [1]


async def test_a_new_one_that_closes_too_is_the_end(
    built: Build, api: str, streamed: bool, body: bytes
) -> None:
    async with closing([1, 0], body) as (url, heard):
        provider = built(api, url)
        assert (await answer(ask(provider, streamed=streamed))).failure is None
        got = await answer(ask(provider, streamed=streamed))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.CONNECT
    assert heard == [2, 1]


async def test_one_that_began_to_answer_is_not(built: Build, api: str, streamed: bool, body: bytes) -> None:
    async with closing([1], body, begins=b"HTTP/1.1 200 OK\r\ncontent-le") as (url, heard):
        provider = built(api, url)
        assert (await answer(ask(provider, streamed=streamed))).failure is None
        got = await answer(ask(provider, streamed=streamed))
    assert got.failure is not None
    assert heard == [2]
