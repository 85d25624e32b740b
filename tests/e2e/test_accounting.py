"""Whatever way a completion ends: one settlement, one resolved hold, one record per attempt, and the tokens that were served."""

import time
from pathlib import Path

import grpc
import pytest

from headgate.common.v1 import cache_status_pb2, outcome_pb2, usage_pb2
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.router.targets.health import State
from tests.support.accounting import (
    RUNS,
    all_settled,
    ask,
    begun,
    blocked,
    check_books,
    many,
    outcomes,
    output_known,
    router_section,
    sources,
)
from tests.support.in_process import in_process
from tests.support.waiting import until

COUNTED = {usage_pb2.USAGE_SOURCE_PROVIDER}
ESTIMATED = {usage_pb2.USAGE_SOURCE_ESTIMATED}
DEADLINE_SECONDS = 4.0
LONG = 8_000
"""Tokens of an answer larger than what a client that does not read, and the server before it, take: with log probabilities
about 250 KB."""


def one_each(model: str) -> dict[str, list[str]]:
    """A target for every run: the failures of one do not close another's breaker."""
    return {f"m{number}": [model] for number in range(RUNS)}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_complete(tmp_path: Path, streamed: bool) -> None:
    async with in_process(tmp_path, router_section({"m": ["sim-small@tokens=20"]})) as suite:

        async def complete(number: int) -> None:
            request = ask("m", number)
            if streamed:
                events = [
                    event async for event in suite.router.StreamComplete(request, metadata=suite.metadata)
                ]
                finished = events[-1].finished
            else:
                finished = (await suite.router.Complete(request, metadata=suite.metadata)).finished
            assert finished.usage.output_tokens == 20

        await many(complete)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS)
        assert sources(entries) == COUNTED
        assert outcomes(entries) == {outcome_pb2.OUTCOME_COMPLETE}


async def test_an_answer_from_the_cache_costs_nothing(tmp_path: Path) -> None:
    async with in_process(tmp_path, router_section({"m": ["sim-small@tokens=20"]})) as suite:
        ask_again = ask("m", 0, temperature=0)
        ask_again.request_id = ""
        await suite.router.Complete(ask_again, metadata=suite.metadata)
        await all_settled(suite)
        (paid,) = await suite.entries()

        async def complete(_number: int) -> None:
            completion = await suite.router.Complete(ask_again, metadata=suite.metadata)
            assert completion.cache_status == cache_status_pb2.CACHE_STATUS_EXACT
            assert completion.finished.cost.amount_nanos == 0

        await many(complete)
        await all_settled(suite)
        entries = await suite.entries()
        assert len(entries) == RUNS + 1
        assert sum(entry.cost.amount_nanos for entry in entries) == paid.cost.amount_nanos
        assert len(suite.served()) == 1
        assert suite.reservations() == {"settled": RUNS + 1}
        assert suite.holds() == {"captured": 1}
        used = paid.record.usage
        assert await suite.used() == {
            "requests": RUNS + 1,
            "input": used.input_tokens,
            "output": used.output_tokens,
        }


async def test_the_client_cancels_before_the_first_token(tmp_path: Path) -> None:
    async with in_process(tmp_path, router_section({"m": ["sim-small@hang-after=0"]})) as suite:

        async def cancel(number: int) -> None:
            call = suite.router.StreamComplete(ask("m", number), metadata=suite.metadata)
            run = await begun(suite, number)
            await until(lambda: output_known(run, 0), "the count of the prompt")
            call.cancel()
            assert await call.code() == grpc.StatusCode.CANCELLED

        await many(cancel)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS)
        assert sources(entries) == COUNTED
        assert outcomes(entries) == {outcome_pb2.OUTCOME_CANCELLED}


async def test_the_client_cancels_mid_stream(tmp_path: Path) -> None:
    async with in_process(tmp_path, router_section({"m": ["sim-small@hang-after=7"]})) as suite:

        async def cancel(number: int) -> None:
            call = suite.router.StreamComplete(ask("m", number), metadata=suite.metadata)
            assert await call.read() is not grpc.aio.EOF
            run = await begun(suite, number)
            await until(lambda: output_known(run, 7), "the seventh token")
            call.cancel()

        await many(cancel)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS)
        assert sources(entries) == COUNTED
        assert {entry.record.usage.output_tokens for entry in entries} == {7}
        assert outcomes(entries) == {outcome_pb2.OUTCOME_CANCELLED}


async def test_the_client_cancels_and_the_provider_had_not_counted(tmp_path: Path) -> None:
    section = router_section({"m": ["sim-small@hang-after=7"]}, continuous_usage=False)
    async with in_process(tmp_path, section) as suite:

        async def cancel(number: int) -> None:
            call = suite.router.StreamComplete(ask("m", number), metadata=suite.metadata)
            assert await call.read() is not grpc.aio.EOF
            run = await begun(suite, number)
            await until(lambda: run.legs[-1].pieces == 7, "the seventh token")
            call.cancel()

        await many(cancel)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS)
        assert sources(entries) == ESTIMATED


async def test_the_client_cancels_a_whole_answer_that_is_then_waited_for(tmp_path: Path) -> None:
    async with in_process(tmp_path, router_section({"m": ["sim-small@ttft=1s,tokens=8"]})) as suite:

        async def cancel(number: int) -> None:
            call = suite.router.Complete(ask("m", number), metadata=suite.metadata)
            await begun(suite, number)
            call.cancel()

        await many(cancel)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS)
        assert sources(entries) == COUNTED
        assert {entry.record.usage.output_tokens for entry in entries} == {8}


async def test_the_client_cancels_in_a_blocked_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Far more than the client's window takes is queued behind the write, and the provider is read to its last token.
    monkeypatch.setattr("services.router.run.QUEUED_BYTES", 1024 * 1024)
    model = f"sim-small@tokens={LONG + 1},hang-after={LONG}"
    # That a provider's count outlives a cancel is shown above; with one in each of so many events this would take long.
    section = router_section({"m": [model]}, continuous_usage=False)
    async with in_process(tmp_path, section) as suite:
        # A window that does not grow: what the client does not read soon stands in the server's way.
        narrow = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16 * 1024)]
        router = RouterServiceStub(suite.channel("router", narrow))

        async def cancel(number: int) -> None:
            request = ask("m", number, top_logprobs=0, max_output_tokens=LONG + 1)
            call = router.StreamComplete(request, metadata=suite.metadata)
            assert await call.read() is not grpc.aio.EOF
            run = await begun(suite, number)
            await until(lambda: run.legs[-1].pieces == LONG, "the last token")
            await blocked(run)
            call.cancel()

        await many(cancel)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS)
        assert sources(entries) == ESTIMATED
        assert {entry.record.usage.output_tokens for entry in entries} == {LONG}
        assert outcomes(entries) == {outcome_pb2.OUTCOME_CANCELLED}


async def test_the_deadline_passes(tmp_path: Path) -> None:
    async with in_process(tmp_path, router_section({"m": ["sim-small@hang-after=5"]})) as suite:

        async def wait(number: int) -> None:
            request = ask("m", number)
            call = suite.router.StreamComplete(request, metadata=suite.metadata, timeout=DEADLINE_SECONDS)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                async for _ in call:
                    pass
            assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED

        await many(wait)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS)
        assert sources(entries) == COUNTED
        assert {entry.record.usage.output_tokens for entry in entries} == {5}
        # A request that was long on its way is cut off by its client well before the deadline that the router knows.
        passed, cut_off = outcome_pb2.OUTCOME_DEADLINE_EXCEEDED, outcome_pb2.OUTCOME_CANCELLED
        assert {passed} <= outcomes(entries) <= {passed, cut_off}


async def test_the_provider_fails_before_output(tmp_path: Path) -> None:
    async with in_process(tmp_path, router_section(one_each("sim-small@status=500"))) as suite:

        async def fail(number: int) -> None:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await suite.router.Complete(ask(f"m{number}", number), metadata=suite.metadata)
            assert failed.value.code() == grpc.StatusCode.UNAVAILABLE

        await many(fail)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS)
        assert {entry.cost.amount_nanos for entry in entries} == {0}
        assert outcomes(entries) == {outcome_pb2.OUTCOME_FAILED}


@pytest.mark.parametrize("fault", ["cut", "error", "malformed", "end"])
async def test_the_provider_fails_after_output(tmp_path: Path, fault: str) -> None:
    async with in_process(tmp_path, router_section(one_each(f"sim-small@{fault}-after=6"))) as suite:

        async def fail(number: int) -> None:
            call = suite.router.StreamComplete(ask(f"m{number}", number), metadata=suite.metadata)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                async for _ in call:
                    pass
            assert failed.value.code() == grpc.StatusCode.UNAVAILABLE

        await many(fail)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS)
        assert sources(entries) == COUNTED
        assert {entry.record.usage.output_tokens for entry in entries} == {6}
        assert outcomes(entries) == {outcome_pb2.OUTCOME_FAILED}


async def test_a_second_target_goes_on_after_output(tmp_path: Path) -> None:
    served_by = ["sim-small@cut-after=6", "sim-small@tokens=9"]
    section = router_section({f"m{number}": served_by for number in range(RUNS)})
    async with in_process(tmp_path, section) as suite:

        async def fail_over(number: int) -> None:
            request = ask(f"m{number}", number)
            events = [event async for event in suite.router.StreamComplete(request, metadata=suite.metadata)]
            assert [
                event.failed_over.content_restarts for event in events if event.HasField("failed_over")
            ] == [True]
            assert events[-1].finished.usage.output_tokens == 6 + 9

        await many(fail_over)
        await all_settled(suite)
        entries = await check_books(suite, runs=RUNS, attempts=2 * RUNS, again=RUNS)
        assert sources(entries) == COUNTED


async def test_nothing_was_tried(tmp_path: Path) -> None:
    """Every target rests: the reservations are released and the holds void."""
    async with in_process(tmp_path, router_section({"m": ["sim-small"]})) as suite:
        for health in suite.services["router"].servicer()._health.values():
            health.state, health.retry_at = State.OPEN, time.monotonic() + 60

        async def refused(number: int) -> None:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await suite.router.Complete(ask("m", number), metadata=suite.metadata)
            assert failed.value.code() == grpc.StatusCode.UNAVAILABLE

        await many(refused)
        await all_settled(suite)
        await check_books(suite, runs=RUNS, voided=RUNS)
