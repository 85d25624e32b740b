"""Servers that the simulator does not imitate: raw HTTP answers, byte for byte."""

import asyncio
import base64
import uuid

import msgspec
import pytest

from headgate.chat.v1 import message_pb2
from headgate.common.v1 import usage_pb2
from services.router.targets.provider import LONGEST_SAID, FailureKind
from tests.service.router.providers.asking import Part, answer, ask, request, user
from tests.service.router.providers.conftest import Build
from tests.support.raw_http import DONE, EVENTS, HI, STOP, chunk, event, refusal, saying


async def test_a_clean_end_without_done_is_whole_when_every_choice_is_finished(built: Build) -> None:
    async with saying(EVENTS + b"\r\n", HI, STOP) as (url, _):
        got = await answer(ask(built("openai", url)))
    assert got.failure is None
    assert got.text() == "hi"


@pytest.mark.parametrize("body", [HI + DONE, DONE, HI])
async def test_an_end_without_a_finish_reason_is_interrupted(built: Build, body: bytes) -> None:
    async with saying(EVENTS + b"\r\n", body) as (url, _):
        got = await answer(ask(built("openai", url)))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.INTERRUPTED


WHOLE = {
    "openai": b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1}}',
    "anthropic": b'{"type":"message","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":2,"output_tokens":1}}',
}
FINISHED = {
    "openai": HI + STOP,
    "anthropic": event({"type": "message_start", "message": {"usage": {"input_tokens": 2}}})
    + event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}})
    + event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}),
}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-ndjson", "application/json", "text/html"])
async def test_events_are_events_whatever_their_type(built: Build, api: str, kind: str) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n".encode()
    async with saying(head, FINISHED[api][:3], 0.01, FINISHED[api][3:]) as (url, _):
        got = await answer(ask(built(api, url)))
    assert got.failure is None
    assert got.text() == "hi"


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
async def test_one_whole_answer_where_a_stream_was_asked_for(built: Build, api: str, kind: str) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n".encode()
    async with saying(head, WHOLE[api][:20], 0.01, WHOLE[api][20:]) as (url, _):
        got = await answer(ask(built(api, url)))
    assert got.failure is None
    assert got.text() == "hi"
    assert got.usage is not None
    assert got.usage.output_tokens == 1


async def test_a_stream_where_a_whole_answer_was_asked_for(built: Build, api: str) -> None:
    async with saying(EVENTS + b"\r\n", FINISHED[api]) as (url, _):
        got = await answer(ask(built(api, url), streamed=False))
    assert got.failure is None
    assert got.text() == "hi"
    assert len(got.chunks) == 1


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "text/plain"])
async def test_a_page_is_no_answer(built: Build, api: str, streamed: bool, kind: str) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n".encode()
    async with saying(head + b"<html><p>Busy: come later.</p></html>") as (url, _):
        got = await answer(ask(built(api, url), streamed=streamed))
    assert got.failure is not None
    assert got.failure.kind in (FailureKind.MALFORMED, FailureKind.INTERRUPTED)


async def test_a_connection_that_breaks_after_the_end_has_brought_the_answer(built: Build, api: str) -> None:
    head = EVENTS + b"content-length: 100000\r\n\r\n"
    async with saying(head + FINISHED[api]) as (url, _):
        got = await answer(ask(built(api, url)))
    assert got.failure is None
    assert got.text() == "hi"
    assert next(iter(got.finishes.values()))[0] == "FINISH_REASON_STOP"


async def test_a_server_that_goes_silent_after_the_end_has_given_the_answer(built: Build, api: str) -> None:
    async with saying(EVENTS + b"\r\n" + FINISHED[api], 5.0) as (url, _):
        got = await answer(ask(built(api, url, between_tokens_timeout_seconds=0.2)))
    assert got.failure is None
    assert got.text() == "hi"


async def test_what_arrived_before_a_cut_is_not_lost_when_the_consumer_is_slow(built: Build) -> None:
    long = EVENTS + b"content-length: 100000\r\n\r\n"
    async with saying(long + HI, 0.05, HI + HI) as (url, _):
        stream = ask(built("openai", url))
        first = await anext(stream)
        await asyncio.sleep(0.2)
        rest = await answer(stream)
    assert first.output_pieces == 1
    assert rest.text() == "hihi"
    assert rest.failure is not None
    assert rest.failure.kind is FailureKind.INTERRUPTED


async def test_pings_and_comments_are_no_tokens(built: Build) -> None:
    signs = (b": still here\n\n", 0.05) * 10
    async with saying(EVENTS + b"\r\n", *signs, HI, STOP, DONE) as (url, _):
        got = await answer(ask(built("openai", url, first_token_timeout_seconds=0.2)))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.TIMEOUT
    assert got.failure.message == "no token within 0.2 s"


async def test_signs_of_life_alone_are_waited_for_as_long_as_the_operator_says(
    built: Build, api: str
) -> None:
    signs = (b": still here\n\n", 0.05) * 10
    limits = {"first_token_timeout_seconds": 0.2, "between_tokens_timeout_seconds": 0.2}
    async with saying(EVENTS + b"\r\n", *signs, FINISHED[api]) as (url, _):
        patient = await answer(ask(built(api, url, only_pings_timeout_seconds=5, **limits)))
        impatient = await answer(ask(built(api, url, only_pings_timeout_seconds=0.3, **limits)))
    assert patient.failure is None
    assert patient.text() == "hi"
    assert impatient.failure is not None
    assert impatient.failure.kind is FailureKind.TIMEOUT


async def test_silence_ends_a_wait_whatever_came_before(built: Build, api: str) -> None:
    async with saying(EVENTS + b"\r\n", b": still here\n\n", 5.0) as (url, _):
        got = await answer(
            ask(built(api, url, only_pings_timeout_seconds=60, first_token_timeout_seconds=0.1))
        )
    assert got.failure is not None
    assert got.failure.kind is FailureKind.TIMEOUT


async def test_headers_that_never_end_time_out(built: Build, api: str, streamed: bool) -> None:
    limits = {"first_token_timeout_seconds": 0.2, "whole_answer_timeout_seconds": 0.2}
    async with saying(b"HTTP/1.1 200 OK\r\n", close=False) as (url, _):
        got = await answer(ask(built(api, url, **limits), streamed=streamed))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.TIMEOUT


async def test_a_whole_answer_that_stops_half_way_times_out(built: Build, api: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
    async with saying(head, close=False) as (url, _):
        provider = built(api, url, whole_answer_timeout_seconds=0.2)
        got = await answer(ask(provider, streamed=False))
    assert got.failure is not None
    assert got.failure.message == "no whole answer within 0.2 s"


async def test_an_end_that_comes_a_little_later_keeps_the_connection(built: Build) -> None:
    body = HI + STOP + DONE
    head = EVENTS + b"transfer-encoding: chunked\r\n\r\n"
    async with saying(head + b"%x\r\n%b\r\n" % (len(body), body), 0.01, b"0\r\n\r\n", close=False) as (
        url,
        heard,
    ):
        provider = built("openai", url)
        for _ in range(3):
            assert (await answer(ask(provider))).failure is None
    assert len(heard) == 3
    assert heard.connections == 1


async def test_an_end_that_the_connection_does_not_show_closes_it_soon(built: Build) -> None:
    async with saying(EVENTS + b"\r\n", HI + STOP + DONE, close=False) as (url, _):
        async with asyncio.timeout(2):
            got = await answer(ask(built("openai", url)))
    assert got.failure is None


async def test_a_redirect_is_not_followed(built: Build, api: str, streamed: bool) -> None:
    async with saying(refusal(307, b"", location="http://127.0.0.1:9/v1")) as (url, requests):
        got = await answer(ask(built(api, url), streamed=streamed))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.MALFORMED
    assert len(requests) == 1


async def test_what_a_provider_says_of_the_key_is_apart_from_what_callers_are_told(
    built: Build, api: str
) -> None:
    body = msgspec.json.encode({"error": {"message": "bad key sk-very-secret!", "type": "x"}})
    async with saying(refusal(401, body)) as (url, requests):
        got = await answer(ask(built(api, url, key="sk-very-secret")))
    assert got.failure is not None
    assert got.failure.message == "HTTP 401"
    assert got.failure.said == "bad key sk-very-secret!"
    assert b"sk-very-secret" in requests[0]


async def test_a_refusal_that_arrives_in_pieces_is_read_whole(built: Build, api: str) -> None:
    whole = refusal(400, b'{"error":{"message":"prompt is too long"}}')
    pieces = (whole[:-30], 0.02, whole[-30:-10], 0.02, whole[-10:])
    async with saying(*pieces, close=False) as (url, heard):
        provider = built(api, url)
        for _ in range(2):
            got = await answer(ask(provider))
            assert got.failure is not None
            assert got.failure.kind is FailureKind.CONTEXT_LENGTH
    assert heard.connections == 1


async def test_a_refusal_of_any_length_is_told_in_bounded_words(built: Build, api: str) -> None:
    async with saying(refusal(400, b"<p>no</p>\n" * 100_000)) as (url, _):
        got = await answer(ask(built(api, url)))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.REJECTED
    assert got.failure.message == "HTTP 400"
    assert len(got.failure.said) == LONGEST_SAID


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "m", "code": "context_length_exceeded"}}, FailureKind.CONTEXT_LENGTH),
        (
            400,
            {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"},
            },
            FailureKind.CONTEXT_LENGTH,
        ),
        (
            400,
            {"object": "error", "message": "This model's maximum context length is 10 tokens.", "code": 400},
            FailureKind.CONTEXT_LENGTH,
        ),
        (
            400,
            {
                "error": {
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                }
            },
            FailureKind.CONTEXT_LENGTH,
        ),
        (429, {"error": {"message": "m", "code": "insufficient_quota"}}, FailureKind.CREDENTIAL),
        (
            400,
            {
                "error": {
                    "message": "Your credit balance is too low to access",
                    "type": "invalid_request_error",
                }
            },
            FailureKind.CREDENTIAL,
        ),
        (
            400,
            {"error": {"message": "no such model", "code": "model_not_found"}},
            FailureKind.MODEL_NOT_FOUND,
        ),
        (404, {"error": "model 'x' not found"}, FailureKind.MODEL_NOT_FOUND),
        (
            500,
            {"error": {"message": "rate_limit_exceeded", "type": "invalid_request_error"}},
            FailureKind.OVERLOADED,
        ),
        (400, {"detail": [{"loc": ["body"]}]}, FailureKind.REJECTED),
        (400, ["no", "object"], FailureKind.REJECTED),
    ],
)
async def test_the_providers_own_words_say_more_than_the_status(
    built: Build, status: int, body: object, kind: FailureKind
) -> None:
    async with saying(refusal(status, msgspec.json.encode(body))) as (url, _):
        got = await answer(ask(built("openai", url)))
    assert got.failure is not None
    assert got.failure.kind is kind


async def test_json_under_status_200_where_events_were_asked_for_is_the_failure_that_it_tells(
    built: Build, api: str
) -> None:
    body = b'{"error":{"message":"busy","type":"overloaded_error"}}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with saying(head + body) as (url, _):
        got = await answer(ask(built(api, url)))
    assert got.failure is not None
    assert got.failure.kind is FailureKind.OVERLOADED


async def test_servers_that_repeat_id_and_name_and_leave_out_indexes_make_one_call(built: Build) -> None:
    def piece(**call: object) -> bytes:
        return chunk(delta={"tool_calls": [call]})

    repeated = [
        piece(index=0, id="a", function={"name": "f", "arguments": '{"x"'}),
        piece(index=0, id="a", function={"name": "f", "arguments": ":1}"}),
        piece(id="b", function={"name": "g", "arguments": "{}"}),
    ]
    async with saying(EVENTS + b"\r\n", *repeated, STOP, DONE) as (url, _):
        got = await answer(ask(built("openai", url)))
    assert got.calls == {0: ("a", "f", '{"x":1}'), 1: ("b", "g", "{}")}
    assert got.finishes == {0: ("FINISH_REASON_TOOL_CALLS", "stop")}


async def test_a_refusal_by_the_model_is_told_as_one(built: Build) -> None:
    async with saying(EVENTS + b"\r\n", chunk(delta={"refusal": "I won't."}), STOP, DONE) as (url, _):
        got = await answer(ask(built("openai", url)))
    assert [delta.refusal for delta in got.deltas] == ["I won't."]
    assert got.finishes == {0: ("FINISH_REASON_REFUSAL", "stop")}


async def test_encrypted_reasoning_by_anthropic_is_kept(built: Build) -> None:
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "redacted_thinking", "data": "x=="},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "something_new", "payload": {"a": [1]}},
        {"type": "message_delta", "delta": {"stop_reason": "pause_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    async with saying(EVENTS + b"\r\n", *map(event, events)) as (url, _):
        got = await answer(ask(built("anthropic", url)))
    assert got.failure is None
    assert [delta.reasoning.redacted_data for delta in got.deltas] == ["x=="]
    assert got.finishes == {0: ("FINISH_REASON_OTHER", "pause_turn")}
    assert got.usage == usage_pb2.TokenUsage(
        input_tokens=5, output_tokens=9, total_tokens=14, source=usage_pb2.USAGE_SOURCE_PROVIDER
    )


async def test_the_request_goes_to_the_configured_path_with_the_key_and_no_more(built: Build) -> None:
    async with saying(refusal(500, b"")) as (url, requests):
        await answer(ask(built("openai", f"{url}/deep"), model="m", request_id="r-1"))
        await answer(ask(built("anthropic", url.removesuffix("/v1")), model="m", request_id="r-2"))
    openai, anthropic = (each.partition(b"\r\n\r\n")[0].decode().split("\r\n") for each in requests)
    assert openai[0] == "POST /v1/deep/chat/completions HTTP/1.1"
    assert anthropic[0] == "POST /v1/messages HTTP/1.1"
    assert {"Authorization: Bearer sim-key", "x-client-request-id: r-1"} <= set(openai)
    assert {"x-api-key: sim-key", "anthropic-version: 2023-06-01", "x-client-request-id: r-2"} <= set(
        anthropic
    )
    ids = [
        line.partition(": ")[2]
        for head in (openai, anthropic)
        for line in head
        if line.startswith("x-request-id")
    ]
    assert len({uuid.UUID(each) for each in ids}) == 2
    assert not any(line.lower().startswith(("cookie", "authorization")) for line in anthropic)


async def test_an_image_is_sent_byte_for_byte(built: Build, api: str) -> None:
    data = bytes(range(256)) * 40
    blob = Part(blob=message_pb2.Blob(media_type="image/png", data=data))
    async with saying(refusal(500, b"")) as (url, requests):
        await answer(ask(built(api, url), request(user(blob))))
    assert base64.b64encode(data) in requests[0]
