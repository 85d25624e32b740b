"""How both adapters tell a provider's failures, against the simulator's faults."""

import asyncio
import socket

import pytest

from headgate.common.v1 import usage_pb2
from services.router.targets.provider import FailureKind, Provider
from tests.service.router.providers.asking import Answer, Control, answer, ask, request
from tests.service.router.providers.conftest import Build


async def failing(provider: Provider, streamed: bool, **knobs: str) -> Answer:
    model = "sim-small@tokens=6," + ",".join(f"{k.replace('_', '-')}={v}" for k, v in knobs.items())
    got = await answer(ask(provider, model=model, streamed=streamed))
    assert got.failure is not None
    return got


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400", FailureKind.REJECTED),
        ("401", FailureKind.CREDENTIAL),
        ("402", FailureKind.CREDENTIAL),
        ("403", FailureKind.CREDENTIAL),
        ("404", FailureKind.MODEL_NOT_FOUND),
        ("408", FailureKind.TIMEOUT),
        ("413", FailureKind.REJECTED),
        ("422", FailureKind.REJECTED),
        ("429", FailureKind.RATE_LIMITED),
        ("500", FailureKind.OVERLOADED),
        ("503", FailureKind.OVERLOADED),
        ("529", FailureKind.OVERLOADED),
    ],
)
async def test_each_status_has_its_kind(
    provider: Provider, streamed: bool, status: str, kind: FailureKind
) -> None:
    got = await failing(provider, streamed, status=status)
    assert got.chunks == []
    assert got.failure is not None
    assert (got.failure.kind, got.failure.http_status) == (kind, int(status))
    assert got.failure.message == f"HTTP {status}"
    assert got.failure.said == f"The simulator was asked to answer {status}."


async def test_a_rate_limit_tells_when_to_come_back(provider: Provider, streamed: bool) -> None:
    got = await failing(provider, streamed, status="429", retry_after="7")
    assert got.failure is not None
    assert got.failure.retry_after_seconds == 7


async def test_a_model_that_does_not_exist_is_told_by_name(provider: Provider, streamed: bool) -> None:
    got = await answer(ask(provider, model="gpt-99", streamed=streamed))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.MODEL_NOT_FOUND
    assert "gpt-99" in got.failure.said


async def test_a_missing_key_is_a_matter_of_the_credential(
    built: Build, simulator_url: str, api: str, streamed: bool
) -> None:
    got = await answer(ask(built(api, simulator_url, key=""), streamed=streamed))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.CREDENTIAL


async def test_nothing_that_listens_is_a_failure_to_connect(built: Build, api: str, streamed: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    got = await answer(ask(built(api, f"http://127.0.0.1:{port}/v1"), streamed=streamed))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.CONNECT
    assert got.failure.message == "no answer from sim: Connection refused"


async def test_a_host_that_does_not_accept_times_out_while_connecting(
    built: Build, api: str, streamed: bool
) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        got = await answer(ask(built(api, url, connect_timeout_seconds=0.2), streamed=streamed))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.TIMEOUT
    assert got.failure.message == "no connection to sim within 0.2 s"


async def test_a_provider_that_never_answers_times_out(
    built: Build, simulator_url: str, api: str, streamed: bool
) -> None:
    limits = {"first_token_timeout_seconds": 0.1, "whole_answer_timeout_seconds": 0.1}
    got = await failing(built(api, simulator_url, **limits), streamed, hang="1")
    assert got.failure is not None
    assert got.failure.kind is FailureKind.TIMEOUT
    assert got.failure.message == "no answer from sim within 0.1 s"


async def test_a_stream_that_falls_silent_times_out_and_keeps_what_came(
    built: Build, simulator_url: str, api: str
) -> None:
    provider = built(api, simulator_url, between_tokens_timeout_seconds=0.1)
    got = await failing(provider, True, hang_after="3")
    assert got.failure is not None
    assert got.failure.kind is FailureKind.TIMEOUT
    assert got.failure.message == "nothing followed within 0.1 s"
    assert len(got.text().split()) == 3


async def test_a_slow_consumer_is_not_a_silent_provider(built: Build, simulator_url: str, api: str) -> None:
    provider = built(api, simulator_url, between_tokens_timeout_seconds=0.2, first_token_timeout_seconds=0.3)
    words = 0
    async for chunk in ask(provider, model="sim-small@tokens=4,gap=150ms"):
        words += chunk.output_pieces
        await asyncio.sleep(0.4)
    assert words == 4


async def test_an_answer_that_is_cut_is_interrupted_and_keeps_what_came(provider: Provider) -> None:
    got = await failing(provider, True, cut_after="3")
    assert got.failure is not None
    assert got.failure.kind is FailureKind.INTERRUPTED
    assert len(got.text().split()) == 3
    assert got.pieces == 3
    assert got.finishes == {}


async def test_a_stream_that_ends_without_its_end_is_interrupted(provider: Provider) -> None:
    got = await failing(provider, True, end_after="3")
    assert got.failure is not None
    assert got.failure.kind is FailureKind.INTERRUPTED
    assert len(got.text().split()) == 3


async def test_a_malformed_event_is_told_after_the_good_ones_before_it(provider: Provider) -> None:
    got = await failing(provider, True, malformed_after="3")
    assert got.failure is not None
    assert got.failure.kind is FailureKind.MALFORMED
    assert len(got.text().split()) == 3


async def test_an_error_event_is_told_in_the_providers_words(provider: Provider) -> None:
    got = await failing(provider, True, error_after="3")
    assert got.failure is not None
    assert got.failure.kind is FailureKind.OVERLOADED
    assert got.failure.message == "the provider reported an error while it answered"
    assert "asked to fail while it was answering" in got.failure.said
    assert len(got.text().split()) == 3


@pytest.mark.parametrize(
    ("knob", "kind"),
    [
        ("cut_after", FailureKind.INTERRUPTED),
        ("malformed_after", FailureKind.MALFORMED),
        ("error_after", FailureKind.OVERLOADED),
    ],
)
async def test_a_whole_answer_that_breaks_gives_nothing(
    provider: Provider, knob: str, kind: FailureKind
) -> None:
    got = await failing(provider, False, **{knob: "3"})
    assert got.failure is not None
    assert got.failure.kind is kind
    assert got.chunks == []


async def test_garbage_under_status_200_is_malformed(provider: Provider, streamed: bool) -> None:
    got = await failing(provider, streamed, garbage="1")
    assert got.failure is not None
    assert got.failure.kind is FailureKind.MALFORMED
    assert got.chunks == []


async def test_an_answer_without_usage_is_whole_and_its_pieces_are_counted(
    provider: Provider, streamed: bool, api: str
) -> None:
    got = await answer(ask(provider, model="sim-small@tokens=6,no-usage=1", streamed=streamed))
    assert got.failure is None
    assert got.finishes
    assert got.pieces == (6 if streamed else -(-len(got.text()) // 4))
    if api == "anthropic" and streamed:
        # The input was counted at the start; the output is what was seen.
        expected = usage_pb2.TokenUsage(
            input_tokens=2, output_tokens=6, total_tokens=8, source=usage_pb2.USAGE_SOURCE_ESTIMATED
        )
        assert got.usage == expected
    else:
        assert got.usage is None


async def test_a_fault_between_two_requests_leaves_the_second_alone(
    provider: Provider, control: Control, streamed: bool
) -> None:
    await control.fault(status=500)
    assert (await answer(ask(provider, streamed=streamed))).failure is not None
    assert (await answer(ask(provider, streamed=streamed))).failure is None


async def test_a_reasoning_budget_beyond_the_limit_is_rejected_before_anything_is_sent(
    anthropic: Provider, streamed: bool
) -> None:
    asked = request()
    asked.reasoning.budget_tokens = 2000
    got = await answer(ask(anthropic, asked, streamed=streamed, max_output_tokens=1500))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.REJECTED
    assert got.failure.http_status is None
