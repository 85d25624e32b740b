"""What a connection can do to a router besides asking it something: hold, flood, begin and never end. Its memory stays."""

import asyncio
import json
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import pytest

from headgate.router.v1 import completion_pb2
from tests.support.http2 import (
    DATA,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    Frame,
    RawConnection,
)
from tests.support.procfs import resident_bytes
from tests.support.suite import RunningSuite

pytestmark = pytest.mark.timeout(300)
COMPLETE = "/headgate.router.v1.RouterService/Complete"
STREAM = "/headgate.router.v1.RouterService/StreamComplete"
MOST_GROWTH_BYTES = 32 * 1024 * 1024
CONTINUATION = 0x9
INITIAL_WINDOW_SIZE = 0x4
MIB = 1024 * 1024
LONG_ANSWERS = """
router:
  providers: {sim: {api: openai, base_url: "http://127.0.0.1:8089/v1"}}
  targets: {long: {provider: sim, model: "sim-small@tokens=100000"}}
  models: {long: {targets: [long]}}
"""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    with RunningSuite.running(tmp_path_factory.mktemp("attacked"), config=LONG_ANSWERS) as running:
        yield running


class Watch:
    """The most memory that a process has while it is watched."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.before = self.most = resident_bytes(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self.most = max(self.most, resident_bytes(self._pid))

    @classmethod
    @contextmanager
    def over(cls, pid: int) -> Iterator["Watch"]:
        watch = cls(pid)
        watch._thread.start()
        try:
            yield watch
        finally:
            watch._done.set()
            watch._thread.join()

    @property
    def growth(self) -> int:
        return self.most - self.before


class Attacker:
    def __init__(self, suite: RunningSuite) -> None:
        self._suite = suite
        self.address = suite.addresses.grpc["router"]
        self.key = [("authorization", f"Bearer {suite.api_key}")]

    def in_flight(self) -> int:
        targets = json.loads(self._suite.headgate("targets", "--json").stdout)
        return sum(target.get("in_flight", 0) for target in targets)

    @asynccontextmanager
    async def connections(self, count: int) -> AsyncIterator[list[RawConnection]]:
        """As many as the router takes, each with its preface sent, and what it says read."""
        async with AsyncExitStack() as stack:
            opened = [
                await stack.enter_async_context(RawConnection.opened(self.address)) for _ in range(count)
            ]
            readers = [asyncio.create_task(_read(each)) for each in opened]
            try:
                await asyncio.sleep(1)
                yield opened
            finally:
                for reader in readers:
                    reader.cancel()


async def _read(connection: RawConnection) -> None:
    async for _ in connection.frames():
        pass


async def half_sent_messages(attacker: Attacker) -> None:
    """60 MiB are promised and half sent by somebody without a key."""
    async with attacker.connections(10) as opened:
        for connection in opened:
            connection.begin_headers(1, COMPLETE)
            connection.send(Frame(DATA, 0, 1, struct.pack(">BI", 0, 60 * MIB) + b"x" * 1000))
            for _ in range(30 * 64):
                connection.send(Frame(DATA, 0, 1, b"x" * 16_000))
        await asyncio.sleep(3)


async def answers_that_nobody_reads(attacker: Attacker) -> None:
    request = completion_pb2.CompletionRequest(model="long", prompt="x", max_output_tokens=100_000)
    no_window = struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)
    async with attacker.connections(4) as opened:
        for connection in opened:
            connection.send(Frame(SETTINGS, payload=no_window))
            for stream in range(1, 30, 2):
                connection.begin_call(stream, STREAM, request.SerializeToString(), metadata=attacker.key)
        await asyncio.sleep(5)
        assert attacker.in_flight() == 4 * 15


async def connections_that_never_speak(attacker: Attacker) -> None:
    host, _, port = attacker.address.rpartition(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(3000)]
    await asyncio.sleep(2)
    for _, writer in opened:
        writer.close()


async def connections_that_speak(attacker: Attacker) -> None:
    async with attacker.connections(5000):
        await asyncio.sleep(3)


async def rapid_resets(attacker: Attacker) -> None:
    """CVE-2023-44487."""
    reset = struct.pack(">I", 8)
    async with attacker.connections(1) as (connection,):
        for stream in range(1, 40_000, 2):
            connection.begin_headers(stream, COMPLETE, attacker.key)
            connection.send(Frame(RST_STREAM, 0, stream, reset))
        await asyncio.sleep(3)


async def a_flood_of_pings(attacker: Attacker) -> None:
    async with attacker.connections(4) as opened:
        for connection in opened:
            connection.send(*(Frame(PING, payload=number.to_bytes(8)) for number in range(50_000)))
        await asyncio.sleep(3)


async def headers_without_end(attacker: Attacker) -> None:
    """CVE-2024-27316 and its kind: CONTINUATION frames for ever."""
    name, value = b"\0" + bytes([4]) + b"name", bytes([100]) + b"v" * 100
    async with attacker.connections(4) as opened:
        for connection in opened:
            connection.send(Frame(HEADERS, 0, 1, b""))
            for _ in range(2_000):
                connection.send(Frame(CONTINUATION, 0, 1, (name + value) * 100))
        await asyncio.sleep(3)


async def settings_without_end(attacker: Attacker) -> None:
    async with attacker.connections(4) as opened:
        for connection in opened:
            connection.send(*(Frame(SETTINGS) for _ in range(50_000)))
        await asyncio.sleep(3)


@pytest.mark.parametrize(
    "attack",
    [
        half_sent_messages,
        answers_that_nobody_reads,
        connections_that_never_speak,
        connections_that_speak,
        rapid_resets,
        a_flood_of_pings,
        headers_without_end,
        settings_without_end,
    ],
    ids=lambda attack: attack.__name__,
)
def test_the_router_does_not_grow(
    attacked: RunningSuite, attack: Callable[[Attacker], Awaitable[None]]
) -> None:
    with Watch.over(attacked.pid("router")) as watch:
        asyncio.run(attack(Attacker(attacked)))  # type: ignore[arg-type]
    assert watch.growth < MOST_GROWTH_BYTES
    assert attacked.headgate("models").returncode == 0
