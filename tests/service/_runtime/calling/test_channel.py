"""Calls to a peer: retries within the budget, deadlines, ids and translated errors."""

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from services._runtime import context
from services._runtime.calling.channel import Caller, open_channel
from services._runtime.calling.retry import RetryBudget
from services._runtime.configuration.settings import Secret
from services._runtime.context import RequestContext
from services._runtime.errors import Code, DeadlineExceededError, GatewayError
from tests.service._runtime.conftest import Served
from tests.service._runtime.echo import CODECS, NAME, request


@pytest.fixture
async def channel(echo: Served) -> AsyncIterator[grpc.aio.Channel]:
    opened = open_channel(echo.address)
    yield opened
    await opened.close()


@pytest.fixture
def unary(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(f"/{NAME}/Echo", **CODECS)


def immediate(budget: RetryBudget | None = None) -> Caller:
    return Caller(budget=budget, random_unit=lambda: 0.0)


async def test_an_unavailable_peer_is_asked_again(echo: Served, unary: Any) -> None:
    echo.servicer.unavailable_times = 2
    response = await immediate().call(unary, request("hi", mode="flaky"), timeout_seconds=5)
    assert (response.text, echo.servicer.calls) == ("hi", 3)


async def test_a_peer_that_stays_unavailable_is_asked_three_times_in_all(echo: Served, unary: Any) -> None:
    echo.servicer.unavailable_times = 9
    with pytest.raises(GatewayError, match="not now") as raised:
        await immediate().call(unary, request("hi", mode="flaky"), timeout_seconds=5)
    assert (raised.value.code, raised.value.domain, echo.servicer.calls) == (
        Code.UNAVAILABLE,
        "echo.headgate",
        3,
    )


async def test_when_the_budget_is_spent_no_call_is_repeated(echo: Served, unary: Any) -> None:
    echo.servicer.unavailable_times = 99
    caller = immediate(RetryBudget(ratio=0.2, floor_per_second=0.0, capacity=2.0))
    for _ in range(10):
        with pytest.raises(GatewayError):
            await caller.call(unary, request("hi", mode="flaky"), timeout_seconds=5)
    # Two were saved up and a fifth of nine further calls comes to one more.
    assert echo.servicer.calls == 10 + 3


async def test_no_other_error_is_repeated(echo: Served, unary: Any) -> None:
    with pytest.raises(GatewayError) as raised:
        await immediate().call(unary, request("hi", mode="limited"), timeout_seconds=5)
    assert (raised.value.reason, raised.value.retry_after_seconds) == ("RATE_LIMITED", 2.5)
    assert echo.servicer.calls == 1


async def test_a_peer_that_is_not_there_is_peer_unavailable() -> None:
    channel = open_channel("127.0.0.1:1")
    with pytest.raises(GatewayError) as raised:
        await immediate().call(
            channel.unary_unary(f"/{NAME}/Echo", **CODECS), request("x"), timeout_seconds=5
        )
    assert (raised.value.code, raised.value.reason) == (Code.UNAVAILABLE, "PEER_UNAVAILABLE")
    await channel.close()


async def test_a_call_ends_at_its_own_timeout_or_a_little_before_the_requests_deadline(unary: Any) -> None:
    now = time.monotonic()
    own = await Caller().call(unary, request("a", mode="deadline"), timeout_seconds=3)
    assert float(own.text) == pytest.approx(now + 3, abs=0.5)
    context.enter(RequestContext(deadline=now + 2))
    hop = await Caller().call(unary, request("a", mode="deadline"), timeout_seconds=60)
    assert float(hop.text) == pytest.approx(now + 2, abs=0.5)


async def test_a_request_without_time_left_makes_no_call(echo: Served, unary: Any) -> None:
    context.enter(RequestContext(deadline=time.monotonic() - 1))
    with pytest.raises(DeadlineExceededError):
        await Caller().call(unary, request("a"), timeout_seconds=60)
    assert echo.servicer.calls == 0
    context.detach()
    assert (await Caller().call(unary, request("a"), timeout_seconds=60)).text == "a"


async def test_ids_and_token_travel_with_a_call(unary: Any) -> None:
    context.enter(RequestContext(request_id="r-7", trace_id="a" * 32, span_id="b" * 16, sampled=True))
    caller = Caller(Secret("t"))
    assert (await caller.call(unary, request("a", mode="request_id"), timeout_seconds=5)).text == "r-7"
    traceparent = (await caller.call(unary, request("a", mode="traceparent"), timeout_seconds=5)).text
    assert traceparent == f"00-{'a' * 32}-{'b' * 16}-01"
    assert ("authorization", "Bearer t") in caller.metadata()


async def test_a_stream_is_read_through_and_its_failure_translated(channel: grpc.aio.Channel) -> None:
    stream = channel.unary_stream(f"/{NAME}/Yield", **CODECS)
    whole = Caller().stream(stream, request("a", "b"), timeout_seconds=5)
    assert [response.text async for response in whole] == ["a", "b"]
    with pytest.raises(GatewayError) as raised:
        await anext(Caller().stream(stream, request(mode="limited"), timeout_seconds=5))
    assert raised.value.reason == "RATE_LIMITED"
