"""A provider that sends more than it was asked for, and a client that does not read it: both are held back."""

import asyncio
import json
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import grpc
import pytest

from headgate.billing.v1 import account_service_pb2
from headgate.chat.v1 import finish_reason_pb2
from headgate.common.v1 import outcome_pb2
from headgate.router.v1 import completion_pb2
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.router.accounts import revocation
from services.router.run import QUEUED_BYTES
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, outcomes, router_section
from tests.support.hostile_provider import whole
from tests.support.in_process import InProcessSuite
from tests.support.raw_http import EVENTS, Write, answering, chunk
from tests.support.rpc_errors import refused
from tests.support.waiting import until

MIB = 1024 * 1024


def endless(text: str, seconds: float = 0.0) -> Iterator[Write]:
    pieces: tuple[Write, ...] = (chunk(delta={"content": text}), seconds)
    return chain([EVENTS + b"\r\n"], *repeat(pieces, 100_000))


def section(url: str) -> dict[str, Any]:
    return router_section({"m": ["sim-small"]}, base_url=url)


def answers_held(suite: InProcessSuite) -> int:
    return suite.pipeline._answers.held


async def test_a_stream_that_ignores_its_bound_is_ended_truncated_and_billed(
    start_router: StartRouter,
) -> None:
    async with answering(lambda _: endless("word ", 0.001)) as (url, _), start_router(section(url)) as suite:
        call = suite.router.StreamComplete(ask("m", max_output_tokens=3), metadata=suite.metadata)
        events = [event async for event in call]
        reason = finish_reason_pb2.FINISH_REASON_LENGTH
        assert events[-2].choice_finished == completion_pb2.ChoiceFinished(finish_reason=reason)
        finished = events[-1].finished
        assert finished.outcome == outcome_pb2.OUTCOME_TRUNCATED
        assert 70 < finished.usage.output_tokens < 200
        (entry,) = await suite.entries()
        assert entry.record.usage.output_tokens == finished.usage.output_tokens


async def test_a_stream_ends_after_its_longest_time(start_router: StartRouter) -> None:
    async with (
        answering(lambda _: endless("word ", 0.01)) as (url, _),
        start_router(section(url), HEADGATE_ROUTER_LONGEST_STREAM_SECONDS="0.3") as suite,
    ):
        events = [event async for event in suite.router.StreamComplete(ask("m"), metadata=suite.metadata)]
        assert events[-1].finished.outcome == outcome_pb2.OUTCOME_TRUNCATED


async def test_the_streams_of_a_revoked_key_end_and_are_billed(
    start_router: StartRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation, "LOOK_EVERY_SECONDS", 0.05)
    monkeypatch.setattr("services.router.__main__.LOOK_EVERY_SECONDS", 0.05)
    async with answering(lambda _: endless("word ", 0.01)) as (url, _), start_router(section(url)) as suite:
        other, _ = await suite.new_key("acme")
        calls = [
            suite.router.StreamComplete(ask("m", number), metadata=metadata)
            for number, metadata in enumerate([suite.metadata, other])
        ]
        for call in calls:
            assert await call.read() is not grpc.aio.EOF
        await suite.accounts.RevokeKey(account_service_pb2.RevokeKeyRequest(key_id=suite.caller.key_id))
        with refused() as refusal:
            while await calls[0].read() is not grpc.aio.EOF:
                pass
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "KEY_REVOKED")
        assert await calls[1].read() is not grpc.aio.EOF
        calls[1].cancel()
        await all_settled(suite)
        entries = await suite.entries()
        assert outcomes(entries) == {outcome_pb2.OUTCOME_ABORTED, outcome_pb2.OUTCOME_CANCELLED}
        assert all(entry.record.usage.output_tokens for entry in entries)


async def test_what_nobody_reads_is_held_back_at_the_provider(start_router: StartRouter) -> None:
    streams = 12
    async with answering(lambda _: endless("x" * 50_000)) as (url, _), start_router(section(url)) as suite:
        narrow = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16 * 1024)]
        router = RouterServiceStub(suite.channel("router", narrow))
        calls = [
            router.StreamComplete(ask("m", number), metadata=suite.metadata) for number in range(streams)
        ]
        for call in calls:
            assert await call.read() is not grpc.aio.EOF
        held = 0
        for _ in range(20):
            await asyncio.sleep(0.02)
            held = max(held, answers_held(suite))
        # What was queued before the last read, and that read.
        assert held <= streams * (QUEUED_BYTES + 256 * 1024)
        for call in calls:
            call.cancel()
        await all_settled(suite)
        await until(lambda: answers_held(suite) == 0, "nothing of an answer is held")


async def test_one_large_answer_comes_through_and_many_at_once_are_refused(start_router: StartRouter) -> None:
    message = {"role": "assistant", "content": "x" * 3 * MIB}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    settings = {"HEADGATE_ROUTER_MAX_ANSWER_BYTES_IN_FLIGHT": str(8 * MIB)}
    largest = [("grpc.max_receive_message_length", 16 * MIB)]
    async with (
        answering(lambda _: [whole(body)]) as (url, _),
        start_router(section(url), **settings) as suite,
    ):
        router = RouterServiceStub(suite.channel("router", largest))
        completions = await asyncio.gather(
            *(router.Complete(ask("m", number), metadata=suite.metadata) for number in range(8)),
            return_exceptions=True,
        )
        failed = [each for each in completions if isinstance(each, grpc.aio.AioRpcError)]
        assert failed
        assert {each.code() for each in failed} == {grpc.StatusCode.UNAVAILABLE}
        await all_settled(suite)
        await until(lambda: answers_held(suite) == 0, "nothing of an answer is held")
        alone = await router.Complete(ask("m", 9), metadata=suite.metadata)
        assert len(alone.choices[0].message.parts[0].text) == 3 * MIB
        await all_settled(suite)
        assert suite.holds() == {"captured": 9}


@pytest.mark.parametrize("items", ["{}", "[]"])
async def test_an_answer_of_endless_items_is_not_read(start_router: StartRouter, items: str) -> None:
    body = ('{"choices":[' + ",".join([items] * 1_000_000) + "]}").encode()
    async with answering(lambda _: [whole(body)]) as (url, _), start_router(section(url)) as suite:
        with refused() as refusal:
            await suite.router.Complete(ask("m"), metadata=suite.metadata)
        assert refusal.code == grpc.StatusCode.UNAVAILABLE
        assert "not the protocol's" in refusal.message
