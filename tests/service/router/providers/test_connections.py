"""What becomes of connections: reused after a clean end, closed at once otherwise, never left behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest

from services.router.targets.provider import Provider
from tests.service.router.providers.asking import Control, answer, ask
from tests.service.router.providers.conftest import Build


class Relay:
    """A TCP relay in front of the simulator that counts connections."""

    def __init__(self, port: int) -> None:
        self.opened = 0
        self.open = 0
        self._port = port

    async def is_unused(self) -> bool:
        return self.open == 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await asyncio.gather(_pipe(reader, upstream_writer), _pipe(upstream_reader, writer))
        finally:
            self.open -= 1


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def relay(simulator_url: str) -> AsyncIterator[tuple[Relay, str]]:
    relay = Relay(int(simulator_url.rpartition(":")[2]))
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    async with server:
        yield relay, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Asks again until it is so; what is asked lives in another connection's life and raises no event here."""
    async with asyncio.timeout(5):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_connection_is_reused_after_a_whole_answer(
    built: Build, relay: tuple[Relay, str], api: str, streamed: bool
) -> None:
    provider = built(api, relay[1])
    for _ in range(5):
        assert (await answer(ask(provider, streamed=streamed))).failure is None
    assert relay[0].opened == 1


async def test_a_connection_is_reused_after_a_refusal(
    built: Build, relay: tuple[Relay, str], api: str
) -> None:
    provider = built(api, relay[1])
    for _ in range(3):
        assert (await answer(ask(provider, model="sim-small@status=429"))).failure is not None
    assert relay[0].opened == 1


async def test_warming_up_opens_the_connection_that_the_first_request_uses(
    built: Build, relay: tuple[Relay, str], api: str
) -> None:
    provider = built(api, relay[1])
    await provider.warm_up()
    assert relay[0].opened == 1
    assert (await answer(ask(provider))).failure is None
    assert relay[0].opened == 1


async def test_warming_up_a_provider_that_is_down_is_no_error(built: Build, api: str) -> None:
    await built(api, "http://127.0.0.1:1").warm_up()


async def test_leaving_a_stream_closes_its_connection_at_once(
    built: Build, relay: tuple[Relay, str], api: str
) -> None:
    provider = built(api, relay[1])
    stream = ask(provider, model="sim-small@tokens=1000,gap=5ms", max_output_tokens=2000)
    await anext(stream)
    await stream.aclose()
    await until(relay[0].is_unused)
    assert (await answer(ask(provider))).failure is None


async def test_the_provider_stops_generating_when_the_stream_is_left(
    provider: Provider, control: Control
) -> None:
    stream = ask(provider, model="sim-small@tokens=1000,gap=5ms", max_output_tokens=2000, request_id="left")
    seen = 0
    async for chunk in stream:
        seen += chunk.output_pieces
        if seen >= 3:
            break
    await stream.aclose()
    await until(partial(_is, "client_gone", control, "left"))
    record = await control.served("left")
    assert seen <= record["output_tokens"] < 100


async def test_cancelling_the_task_that_waits_stops_the_provider(
    provider: Provider, control: Control, streamed: bool
) -> None:
    waiting = ask(provider, model="sim-small@ttft=30s", streamed=streamed, request_id="cancelled")
    task = asyncio.create_task(answer(waiting))
    await until(partial(_is, "running", control, "cancelled"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(partial(_is, "client_gone", control, "cancelled"))


async def test_a_broken_stream_leaves_no_connection_behind(
    built: Build, relay: tuple[Relay, str], api: str
) -> None:
    provider = built(api, relay[1], between_tokens_timeout_seconds=0.05)
    for fault in ("malformed-after=2", "error-after=2", "cut-after=2", "hang-after=2"):
        assert (await answer(ask(provider, model=f"sim-small@tokens=6,gap=5ms,{fault}"))).failure is not None
    await provider.close()
    await until(relay[0].is_unused)


async def test_no_more_connections_than_configured_are_opened(
    built: Build, relay: tuple[Relay, str], api: str
) -> None:
    provider = built(api, relay[1], max_connections=3)
    answers = await asyncio.gather(*(answer(ask(provider, model="sim-small@ttft=20ms")) for _ in range(12)))
    assert all(got.failure is None for got in answers)
    assert relay[0].opened == 3


async def test_closing_ends_idle_connections(built: Build, relay: tuple[Relay, str], api: str) -> None:
    provider = built(api, relay[1])
    await answer(ask(provider))
    assert relay[0].open == 1
    await provider.close()
    await until(relay[0].is_unused)


async def _is(outcome: str, control: Control, request_id: str) -> bool:
    return [record["outcome"] for record in await control.records(request_id)] == [outcome]
