"""OpenAI's usage object, and the pieces of a stream that its endpoints share."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from simulator.answer import Finish
from simulator.frame import Frame

FINGERPRINT = "fp_simulator"
MALFORMED_EVENT = b'data: {"id":"chatcmpl-broken,"choices":[{]\n\n'
_NO_USAGE = b"null}\n\n"
DONE: Frame = (b"data: [DONE]\n\n", 0)
FINISH_REASONS = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.TOOL_CALLS: "tool_calls",
}


def usage(input_tokens: int, output_tokens: int, cached_tokens: int, reasoning_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def event(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def error_event(body: bytes) -> bytes:
    return b"data: " + body + b"\n\n"


def with_running_usage(frames: Iterable[Frame], used: Callable[[int], dict[str, Any]]) -> Iterator[Frame]:
    """Chunks that end in a usage of null, with what `used` says of the tokens so far instead."""
    tokens = 0
    for data, carried in frames:
        tokens += carried
        yield data and data.removesuffix(_NO_USAGE) + msgspec.json.encode(used(tokens)) + b"}\n\n", carried


def final_frames(head: dict[str, Any], used: dict[str, Any] | None, *, twice: bool = False) -> list[Frame]:
    """What follows the last choice: the usage when it was asked for, and the end."""
    if used is None:
        return [DONE]
    told = event(head | {"choices": [], "usage": used}), 0
    return [told, told, DONE] if twice else [told, DONE]
