"""Finish reasons and usage of OpenAI-compatible servers, in Headgate's terms."""

from typing import Any

import msgspec
import pytest

from headgate.chat.v1.finish_reason_pb2 import FinishReason
from services._runtime.telemetry.masking import Masking
from services.router.providers.openai_answer import OpenAiReader
from services.router.providers.openai_usage import Usage, to_usage
from services.router.targets.provider import FailureKind, ProviderError


def usage(**fields: Any) -> tuple[int, ...]:
    got = to_usage(msgspec.convert(fields, Usage))
    return (
        got.input_tokens,
        got.output_tokens,
        got.cache_read_input_tokens,
        got.cache_write_input_tokens,
        got.reasoning_output_tokens,
        got.total_tokens,
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, (5, 7, 0, 0, 0, 12)),
        ({"prompt_tokens": 5}, (5, 0, 0, 0, 0, 5)),
        ({"prompt_tokens": 5, "completion_tokens": None}, (5, 0, 0, 0, 0, 5)),
        (
            {
                "prompt_tokens": 50,
                "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            (50, 7, 40, 8, 3, 57),
        ),
        # Reasoning counted beside the completion, which the total gives away.
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "total_tokens": 15,
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            (5, 10, 0, 0, 3, 15),
        ),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            (5, 4, 0, 0, 3, 9),
        ),
        # A server that contradicts itself gets no subset beyond its total.
        (
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9}},
            (5, 0, 5, 0, 0, 5),
        ),
        (
            {"prompt_tokens": 5, "prompt_tokens_details": None, "completion_tokens_details": None},
            (5, 0, 0, 0, 0, 5),
        ),
    ],
)
def test_counts_include_their_subsets(told: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert usage(**told) == expected


def answered(message: dict[str, Any], reason: str) -> tuple[str, str]:
    body = {"choices": [{"message": message, "finish_reason": reason}]}
    chunk = OpenAiReader(1, Masking(()), "sim").read_body(msgspec.json.encode(body))
    end = chunk.events[-1].choice_finished
    return FinishReason.Name(end.finish_reason).removeprefix("FINISH_REASON_"), end.raw_reason


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("stop", "STOP"),
        ("eos", "STOP"),
        ("length", "LENGTH"),
        ("tool_calls", "TOOL_CALLS"),
        ("function_call", "TOOL_CALLS"),
        ("content_filter", "CONTENT_FILTER"),
        ("MAX_TOKENS", "LENGTH"),
        ("model_length", "LENGTH"),
        ("SAFETY", "CONTENT_FILTER"),
        ("end_turn", "STOP"),
        ("tool_use", "TOOL_CALLS"),
        ("malformed_function_call", "OTHER"),
    ],
)
def test_finish_reasons(raw: str, expected: str) -> None:
    assert answered({"content": "x"}, raw) == (expected, raw)


def test_stop_after_a_refusal_is_a_refusal_and_after_a_call_a_call() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    assert answered({"refusal": "no"}, "stop") == ("REFUSAL", "stop")
    assert answered({"tool_calls": [call]}, "stop") == ("TOOL_CALLS", "stop")
    assert answered({"tool_calls": [call]}, "length") == ("LENGTH", "length")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b'{"other":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"choices":[],"usage":{"prompt_tokens":-1}}',
        b"[]",
        b"null",
        b'{"choices":[]}',
        b"{}",
        b'{"choices":[{"message":{"content":null}}]}',
        b'{"choices":[{"message":{"content":[]}}]}',
    ],
)
def test_a_body_that_is_not_the_protocols_is_malformed(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        OpenAiReader(1, Masking(()), "sim").read_body(body)
    assert caught.value.kind is FailureKind.MALFORMED


def test_reasoning_under_either_name_and_never_twice() -> None:
    for fields in (
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
    ):
        event = msgspec.json.encode({"choices": [{"delta": fields}]})
        chunk = OpenAiReader(1, Masking(()), "sim").read_events([event])
        assert chunk is not None
        assert [each.delta.reasoning.text for each in chunk.events] == ["hm"]
        assert chunk.output_pieces == 1


def test_neighbouring_pieces_are_merged_in_their_order() -> None:
    def piece(index: int, **delta: str) -> bytes:
        return msgspec.json.encode({"choices": [{"index": index, "delta": delta}]})

    events = [
        piece(0, reasoning_content="a"),
        piece(0, reasoning_content="b"),
        piece(0, content="c"),
        piece(0, content="d"),
        piece(1, content="e"),
        piece(0, content="f"),
    ]
    chunk = OpenAiReader(2, Masking(()), "sim").read_events(events)
    assert chunk is not None
    told = [(each.delta.choice_index, each.delta.text or each.delta.reasoning.text) for each in chunk.events]
    assert told == [(0, "ab"), (0, "cd"), (1, "e"), (0, "f")]
    assert chunk.output_pieces == 6
