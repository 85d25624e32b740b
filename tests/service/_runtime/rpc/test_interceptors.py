"""Calls through the interceptor, over real gRPC."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from services._runtime.configuration.settings import Secret
from services._runtime.errors import Code, GatewayError
from services._runtime.rpc.authentication import require_internal_token
from services._runtime.status import from_rpc_error
from tests.service._runtime.conftest import Served, until
from tests.service._runtime.echo import EchoRequest, request


async def refusal(call: Any) -> tuple[GatewayError, grpc.aio.AioRpcError]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return from_rpc_error(raised.value), raised.value


async def test_the_callers_request_id_is_used_and_echoed(echo: Served) -> None:
    call = echo.unary()(request("hi", mode="request_id"), metadata=(("x-request-id", "mine-1"),))
    assert (await call).text == "mine-1"
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine-1"


@pytest.mark.parametrize("bad", ["", "has space", "x" * 129, "semi;colon"])
async def test_an_absent_or_invalid_request_id_is_replaced_by_a_new_one(echo: Served, bad: str) -> None:
    call = echo.unary()(request("hi", mode="request_id"), metadata=(("x-request-id", bad),))
    made = (await call).text
    assert made != bad
    assert len(made) == 32
    assert dict(await call.trailing_metadata())["x-request-id"] == made


async def test_the_servicer_sees_the_callers_deadline(echo: Served) -> None:
    ends_at = float((await echo.unary()(request("hi", mode="deadline"), timeout=60)).text)
    assert 50 < ends_at - time.monotonic() < 61  # gRPC rounds up what it sends
    assert (await echo.unary()(request("hi", mode="deadline"))).text == "None"


async def test_a_gateway_error_arrives_with_all_its_details(echo: Served) -> None:
    error, rpc_error = await refusal(echo.unary()(request("hi", mode="limited")))
    assert (error.code, error.reason, error.domain) == (
        Code.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "echo.headgate",
    )
    assert (error.message, error.retry_after_seconds) == ("slow down", 2.5)
    assert error.quota_violations[0].subject == "limit:rpm"
    assert dict(rpc_error.trailing_metadata())["x-headgate-cost-nanos"] == "7"
    assert "x-request-id" in dict(rpc_error.trailing_metadata())
    assert echo.counted("Echo", "RESOURCE_EXHAUSTED") == 1


@pytest.mark.parametrize("method", ["Yield", "Write"])
async def test_a_stream_that_fails_keeps_what_it_sent_and_ends_with_the_error(
    echo: Served, method: str
) -> None:
    call = echo.stream(method)(request("a", "b", mode="limited"))
    assert [(await call.read()).text, (await call.read()).text] == ["a", "b"]
    error, _ = await refusal(call.read())
    assert error.reason == "RATE_LIMITED"


async def test_an_unforeseen_failure_names_the_request_and_is_logged_with_its_trace(echo: Served) -> None:
    with capture_logs() as logs:
        error, _ = await refusal(
            echo.unary()(request("x", mode="boom"), metadata=(("x-request-id", "mine-2"),))
        )
    assert (error.code, error.reason) == (Code.INTERNAL, "INTERNAL")
    assert "mine-2" in error.message
    assert "a defect" not in error.message
    assert [(line["log_level"], str(line["exc_info"])) for line in logs] == [("error", "a defect")]


async def test_a_broken_rule_names_the_field_by_its_path(echo: Served) -> None:
    error, _ = await refusal(echo.unary()(request("fine", "", "fine", "")))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [violation.field for violation in error.field_violations] == ["parts[1].text", "parts[3].text"]
    assert error.message.startswith("parts[1].text: ")
    assert error.message.endswith("(and 1 more)")
    assert echo.servicer.calls == 0


async def test_a_rule_on_a_map_names_the_key(echo: Served) -> None:
    error, _ = await refusal(echo.unary()(EchoRequest(labels={"team": "too long", "ok": "fine"})))
    assert [violation.field for violation in error.field_violations] == ['labels["team"]']


@pytest.mark.parametrize("method", ["Yield", "Write"])
async def test_a_streaming_rpc_validates_its_request_too(echo: Served, method: str) -> None:
    error, _ = await refusal(echo.stream(method)(request("")).read())
    assert error.field_violations[0].field == "parts[0].text"


async def test_a_trusted_method_is_not_validated_and_not_echoed(echo: Served) -> None:
    call = echo.unary("BatchEcho")(request("", "ok"))
    assert (await call).text == "ok"
    assert "x-request-id" not in dict(await call.trailing_metadata())


async def test_bytes_that_are_no_message_are_the_callers_mistake(echo: Served) -> None:
    def raw(message: bytes) -> bytes:
        return message

    error, _ = await refusal(echo.unary(request_serializer=raw)(b"\x12\x02\xff\xfe"))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert "UTF-8" in error.message


async def test_a_message_over_the_cap_names_the_field_that_is_too_large(serve: Callable[..., Any]) -> None:
    served = await serve(max_message_bytes=10_000)
    error, _ = await refusal(served.unary()(request("small", "x" * 15_000)))
    assert (error.code, error.field_violations[0].field) == (Code.INVALID_ARGUMENT, "parts[1].text")
    assert "at most 10000" in error.message


async def test_a_message_far_over_the_cap_is_refused_before_it_is_read(serve: Callable[..., Any]) -> None:
    served = await serve(max_message_bytes=10_000)
    error, _ = await refusal(served.unary()(request("x" * 30_000)))
    assert error.code is Code.RESOURCE_EXHAUSTED
    assert "larger than max" in error.message


async def test_a_response_over_the_cap_says_so(serve: Callable[..., Any]) -> None:
    served = await serve(max_message_bytes=10_000)
    error, _ = await refusal(served.unary()(request("a", mode="large")))
    assert error.code is Code.RESOURCE_EXHAUSTED
    assert "the response has" in error.message


async def test_streams_of_every_shape_arrive_whole(echo: Served) -> None:
    for method in ("Yield", "Write"):
        call = echo.stream(method)(request("a", "b", "c"))
        assert [response.text async for response in call] == ["a", "b", "c"]
        assert "x-request-id" in dict(await call.trailing_metadata())
        assert echo.counted(method, "OK") == 1
    chat: Any = echo.channel.stream_stream(
        "/headgate.test.v1.EchoService/Chat",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=type(request()).FromString,
    )(iter([request("a"), request("b")]))
    assert len([response async for response in chat]) == 2


async def test_a_stream_with_no_message_still_ends_well(echo: Served) -> None:
    for method in ("Yield", "Write"):
        assert [response async for response in echo.stream(method)(request())] == []


async def test_a_servicers_own_metadata_leaves_with_the_request_id(echo: Served) -> None:
    call = echo.stream("Write")(request("a"))
    assert [response.text async for response in call] == ["a"]
    assert {"x-cache", "x-request-id"} <= set(dict(await call.trailing_metadata()))


@pytest.mark.parametrize("method", ["Yield", "Write"])
async def test_a_cancelled_stream_ends_its_servicer_and_is_no_error(echo: Served, method: str) -> None:
    with capture_logs() as logs:
        call = echo.stream(method)(request("a", mode="wait"))
        await call.read()
        await echo.servicer.entered.wait()
        call.cancel()
        assert await asyncio.wait_for(echo.servicer.ended.get(), 5) == method.lower()
        await until(lambda: echo.counted(method, "CANCELLED") == 1)
    assert logs == []
    assert echo.in_flight(method) == 0


@pytest.mark.parametrize("method", ["Yield", "Write"])
async def test_a_cancel_while_a_write_is_blocked_is_a_cancel_too(echo: Served, method: str) -> None:
    with capture_logs() as logs:
        call = echo.stream(method)(request("a", mode="flood"))
        await call.read()
        await until(lambda: echo.servicer.blocked)
        call.cancel()
        assert await asyncio.wait_for(echo.servicer.ended.get(), 5) == method.lower()
        await until(lambda: echo.counted(method, "CANCELLED") == 1)
    assert logs == []


async def test_a_call_that_outlives_its_deadline_is_counted_as_such(echo: Served) -> None:
    error, _ = await refusal(echo.unary()(request("a", mode="wait"), timeout=0.05))
    assert error.code is Code.DEADLINE_EXCEEDED
    await until(lambda: echo.counted("Echo", "DEADLINE_EXCEEDED") == 1)
    assert echo.in_flight("Echo") == 0


async def test_without_the_right_token_nothing_is_served(serve: Callable[..., Any]) -> None:
    served = await serve(authenticate=require_internal_token(Secret("right")))
    missing, _ = await refusal(served.unary()(request("")))
    wrong, _ = await refusal(served.unary()(request("a"), metadata=(("authorization", "Bearer wrong"),)))
    assert (missing.code, missing.reason) == (Code.UNAUTHENTICATED, "MISSING_CREDENTIALS")
    assert (wrong.code, wrong.reason) == (Code.UNAUTHENTICATED, "INVALID_KEY")
    right = (("authorization", "Bearer right"),)
    assert (await served.unary()(request("a", mode="principal"), metadata=right)).text == "internal"
    assert served.servicer.calls == 1


async def test_an_unknown_method_is_unimplemented(echo: Served) -> None:
    error, _ = await refusal(echo.unary("Nonexistent")(request("a")))
    assert error.code is Code.UNIMPLEMENTED
