"""A router process that ends while it streams: SIGTERM settles everything first, SIGKILL leaves it to the next start."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from headgate.common.v1 import outcome_pb2
from headgate.router.v1 import completion_pb2
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.router.checkpoints import EVERY_SECONDS
from tests.support.accounting import (
    RUNS,
    all_settled,
    check_books,
    many,
    outcomes,
    router_section,
    sources,
)
from tests.support.in_process import InProcessSuite, in_process
from tests.support.router_process import router_process
from tests.support.rpc_errors import refused
from tests.support.waiting import until

TOKENS = 5
SECTION = router_section({"whole": ["sim-small"], "m": [f"sim-small@hang-after={TOKENS}"]})


def ask(model: str, **fields: Any) -> completion_pb2.CompletionRequest:
    return completion_pb2.CompletionRequest(model=model, prompt="Tell me of the sea.", **fields)


async def first_tokens(suite: InProcessSuite) -> str:
    """What the simulator says to `ask` in TOKENS tokens."""
    request = ask("whole", max_output_tokens=TOKENS)
    completion = await suite.router.Complete(request, metadata=suite.metadata)
    text: str = completion.choices[0].message.parts[0].text
    return text


async def read_until(call: Any, text: str) -> None:
    """Returns once the stream has brought all of `text`."""
    brought = ""
    while brought != text:
        event = await call.read()
        assert event is not grpc.aio.EOF
        brought += event.delta.text


async def test_sigterm_mid_stream(tmp_path: Path) -> None:
    async with in_process(tmp_path, SECTION) as suite, router_process(suite, tmp_path / "own") as process:
        text = await first_tokens(suite)
        async with grpc.aio.insecure_channel(process.address) as channel:
            router = RouterServiceStub(channel)

            async def begin(_number: int) -> Any:
                call = router.StreamComplete(ask("m"), metadata=suite.metadata)
                await read_until(call, text)
                return call

            calls = await many(begin)
            process.signal(signal.SIGTERM)

            async def hear_the_end(call: Any) -> None:
                with refused() as refusal:
                    await call.read()
                assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
                assert refusal.retry_seconds is None

            await asyncio.gather(*(hear_the_end(call) for call in calls))
            assert await process.ended() == 0
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS + 1)
        assert sources(entries) == {1}
        assert {entry.record.usage.output_tokens for entry in entries} == {TOKENS}
        assert outcomes(entries) == {outcome_pb2.OUTCOME_TRUNCATED, outcome_pb2.OUTCOME_ABORTED}


async def test_what_a_killed_router_had_spooled_is_booked_by_the_next(tmp_path: Path) -> None:
    """Billing is down while streams end; the router is killed; billing and another router come back."""
    runs = 50
    async with in_process(tmp_path, SECTION) as suite:
        own = tmp_path / "own"
        async with router_process(suite, own) as process:
            async with grpc.aio.insecure_channel(process.address) as channel:
                router = RouterServiceStub(channel)
                text = await first_tokens(suite)
                await router.Complete(ask("whole", max_output_tokens=TOKENS), metadata=suite.metadata)
                await suite.services["billing"].stop()

                async def cancel(_number: int) -> None:
                    call = router.StreamComplete(ask("m"), metadata=suite.metadata)
                    await read_until(call, text)
                    call.cancel()

                await many(cancel, runs)
                await until(lambda: suite.reservations()["settled"] == runs + 2, "the end of every run")
            process.signal(signal.SIGKILL)
            await process.ended()
        await suite.services["billing"].start()
        async with router_process(suite, own):
            await until(lambda: suite.holds()["captured"] + suite.holds()["barred"] == runs + 2, "delivery")
        entries = await suite.entries()
        assert len(entries) == runs + 2
        assert {entry.record.usage.output_tokens for entry in entries} == {TOKENS}


async def test_what_was_streamed_before_a_kill_is_booked_by_the_next_router_and_nothing_stays_held(
    tmp_path: Path,
) -> None:
    """All tokens came more than a checkpoint's interval before; a whole answer that had not come is not known."""
    models = {"whole": ["sim-small"], "m": [f"sim-small@hang-after={TOKENS}"], "late": ["sim-small@hang=1"]}
    async with in_process(tmp_path, router_section(models)) as suite:
        own = tmp_path / "own"
        async with (
            router_process(suite, own) as process,
            grpc.aio.insecure_channel(process.address) as channel,
        ):
            router = RouterServiceStub(channel)
            text = await first_tokens(suite)

            async def begin(_number: int) -> Any:
                call = router.StreamComplete(ask("m"), metadata=suite.metadata)
                await read_until(call, text)
                return call

            calls = await many(begin)
            whole = router.Complete(ask("late"), metadata=suite.metadata)
            await until(lambda: suite.holds()["open"] == RUNS + 1, "every hold")
            await asyncio.sleep(2 * EVERY_SECONDS)
            process.signal(signal.SIGKILL)
            await process.ended()
            for call in (*calls, whole):
                call.cancel()
        async with router_process(suite, own):
            await until(lambda: not suite.holds()["open"], "the end of every hold")
        entries = [entry.record for entry in await suite.entries() if "@" in entry.record.model]
        assert [entry.usage.output_tokens for entry in entries] == [TOKENS] * RUNS
        assert {entry.outcome for entry in entries} == {outcome_pb2.OUTCOME_ABORTED}
        assert {entry.labels["headgate/from-checkpoint"] for entry in entries} == {"true"}
        assert suite.holds() == {"captured": RUNS + 1, "voided": 1}


async def test_what_a_provider_counted_before_its_first_token_is_booked_after_a_kill(tmp_path: Path) -> None:
    """It reasons in secret, say: the prompt is counted, and nothing was sent yet."""
    async with in_process(tmp_path, router_section({"m": ["sim-small@hang-after=0"]})) as suite:
        own = tmp_path / "own"
        async with (
            router_process(suite, own) as process,
            grpc.aio.insecure_channel(process.address) as channel,
        ):
            call = RouterServiceStub(channel).StreamComplete(ask("m"), metadata=suite.metadata)
            reading = asyncio.ensure_future(call.read())
            await until(lambda: any(record.input_tokens for record in suite.served().values()), "the prompt")
            await asyncio.sleep(2 * EVERY_SECONDS)
            process.signal(signal.SIGKILL)
            await process.ended()
            with pytest.raises(grpc.aio.AioRpcError):
                await reading
        async with router_process(suite, own):
            await until(lambda: not suite.holds()["open"], "the end of every hold")
        (entry,) = await suite.entries()
        (served,) = suite.served().values()
        assert entry.record.usage.input_tokens == served.input_tokens > 0
        assert entry.record.usage.output_tokens == 0
        assert entry.record.labels["headgate/from-checkpoint"] == "true"
