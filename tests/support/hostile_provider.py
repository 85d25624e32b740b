"""What a provider might say to hurt: a credential, a host's name and a terminal's commands wherever it can say anything."""

import base64
import json
from collections.abc import Iterator
from typing import Any

KEY = "canary-5b1f7a90d3c2e8-tail"
HOST = "db-17.internal.example"
ESCAPE = "\x1b]52;c;Y2FuYXJ5\x07"
PLANTED = {
    "key": KEY,
    "base64": base64.b64encode(KEY.encode()).decode(),
    "all but four": KEY[:-4],
    "host": HOST,
    "escape": ESCAPE,
}
NUMBERS = [
    "-1",
    "2147483648",
    "1099511627776",
    "9223372036854775808",
    "1" + "0" * 40,
    "1.5",
    "-0.0",
    "1e308",
    "1e999",
    "NaN",
]
EVERYTHING = " ".join(PLANTED.values())

OPENAI: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "m",
    "system_fingerprint": "fp",
    "service_tier": "default",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "hi",
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "f", "arguments": "{}"},
                    }
                ],
            },
            "logprobs": {
                "content": [
                    {
                        "token": "hi",
                        "logprob": -0.5,
                        "bytes": [104],
                        "top_logprobs": [{"token": "hi", "logprob": -0.5}],
                    }
                ]
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
ANTHROPIC: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
    ],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 3,
        "output_tokens": 2,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": 0},
    },
}
SAID_BY_THE_MODEL = {"content", "text", "arguments", "token", "input"}
"""Fields whose text is the answer itself."""


def whole(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


def streamed(*events: bytes) -> bytes:
    data = b"".join(b"data: " + event + b"\n\n" for event in events)
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(data) + data
    )


def openai_stream(body: bytes) -> bytes:
    return streamed(body.replace(b'"message":', b'"delta":'), b"[DONE]")


def anthropic_stream(answer: dict[str, Any], number: bytes = b"") -> bytes:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**answer, "content": []}}]
    for index, block in enumerate(answer["content"]):
        events.append({"type": "content_block_start", "index": index, "content_block": {**block, "text": ""}})
        if block["type"] == "text":
            events.append(
                {
                    "type": "content_block_delta",
                    "index": index,
                    "delta": {"type": "text_delta", "text": block["text"]},
                }
            )
        events.append({"type": "content_block_stop", "index": index})
    events.append(
        {"type": "message_delta", "delta": {"stop_reason": answer["stop_reason"]}, "usage": answer["usage"]}
    )
    events.append({"type": "message_stop"})
    return streamed(*(json.dumps(event).encode().replace(b'"\\u0000"', number) for event in events))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to each value that is no object and no list."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, (*path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*path, index))
    else:
        yield path


def with_leaf(value: Any, path: tuple[Any, ...], leaf: Any) -> Any:
    if not path:
        return leaf
    step, *rest = path
    if isinstance(value, dict):
        return {**value, step: with_leaf(value[step], tuple(rest), leaf)}
    return [with_leaf(each, tuple(rest), leaf) if index == step else each for index, each in enumerate(value)]


def refusals() -> Iterator[bytes]:
    """Every way to refuse, with everything planted in it."""
    told = json.dumps(EVERYTHING)[1:-1]
    bodies = [
        json.dumps(
            {"error": {"message": EVERYTHING, "type": EVERYTHING, "code": EVERYTHING, "param": EVERYTHING}}
        ),
        json.dumps({"error": {"message": {"nested": EVERYTHING}}}),
        json.dumps({"error": EVERYTHING}),
        json.dumps({"detail": [{"loc": [EVERYTHING], "msg": EVERYTHING}]}),
        json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": EVERYTHING}}),
        json.dumps({"error": {"message": f"prompt is too long: {told}"}}),
        EVERYTHING,
        f'{{"error":{{"message":"{told}"',
    ]
    for status in (301, 307, 400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503, 529):
        for body in bodies:
            yield _refused(status, body.encode())
    for body in bodies:
        yield whole(body.encode())
        yield streamed(body.encode())
        yield (
            b"HTTP/1.1 200 OK\r\ncontent-type: "
            + KEY.encode()
            + b"/"
            + HOST.encode()
            + b"\r\n\r\n"
            + body.encode()
        )


def broken() -> Iterator[bytes]:
    """HTTP that is none, with everything planted in it."""
    said = EVERYTHING.encode()
    yield said
    yield b"HTTP/1.1 " + said + b"\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\n" + said + b"\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\ncontent-length: " + said + b"\r\n\r\n"
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + said + b"\r\n"
    yield (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:\r\n"
        + said
    )
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: " + said
    yield (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 5000\r\n\r\ndata: "
        + said
        + b"\n\n"
    )
    yield b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(said) + said


def _refused(status: int, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {KEY}\r\ncontent-length: {len(body)}\r\nlocation: http://{HOST}/{KEY}\r\n"
        f"retry-after: {KEY}\r\nwww-authenticate: Bearer {KEY}\r\nx-request-id: {HOST}\r\n\r\n"
    )
    return head.encode() + body
