"""Finish reasons and usage of Anthropic's API, in Headgate's terms."""

from typing import Any

import msgspec
import pytest

from headgate.chat.v1.finish_reason_pb2 import FinishReason
from headgate.common.v1 import usage_pb2
from services._runtime.telemetry.masking import Masking
from services.router.providers.anthropic_answer import AnthropicReader
from services.router.targets.provider import Chunk, FailureKind, ProviderError

STARTED = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 30,
    "output_tokens": 1,
}


def read(*events: dict[str, Any]) -> Chunk | None:
    return AnthropicReader(Masking(()), "sim").read_events([msgspec.json.encode(event) for event in events])


def start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"content": [], "usage": usage}}


def stop(reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def test_the_input_counts_at_once_with_what_the_cache_read_and_wrote() -> None:
    chunk = read(start(**STARTED))
    assert chunk is not None
    assert chunk.usage == usage_pb2.TokenUsage(
        input_tokens=60,
        output_tokens=1,
        cache_read_input_tokens=30,
        cache_write_input_tokens=20,
        total_tokens=61,
        source=usage_pb2.USAGE_SOURCE_ESTIMATED,
    )


def test_the_end_counts_the_output_and_keeps_the_input() -> None:
    details = {"thinking_tokens": 4}
    chunk = read(start(**STARTED), stop(output_tokens=9, output_tokens_details=details))
    assert chunk is not None
    assert chunk.usage == usage_pb2.TokenUsage(
        input_tokens=60,
        output_tokens=9,
        cache_read_input_tokens=30,
        cache_write_input_tokens=20,
        reasoning_output_tokens=4,
        total_tokens=69,
        source=usage_pb2.USAGE_SOURCE_PROVIDER,
    )


def test_cumulative_counts_replace_the_ones_before() -> None:
    chunk = read(start(**STARTED), stop(output_tokens=9, input_tokens=11, cache_read_input_tokens=31))
    assert chunk is not None
    assert chunk.usage is not None
    assert chunk.usage.input_tokens == 11 + 31 + 20


def test_an_end_without_usage_leaves_the_output_uncounted() -> None:
    chunk = read(start(**STARTED), {"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    assert chunk is not None
    assert chunk.usage is not None
    assert chunk.usage.source == usage_pb2.USAGE_SOURCE_ESTIMATED


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("end_turn", "STOP"),
        ("stop_sequence", "STOP"),
        ("max_tokens", "LENGTH"),
        ("model_context_window_exceeded", "LENGTH"),
        ("tool_use", "TOOL_CALLS"),
        ("refusal", "REFUSAL"),
        ("pause_turn", "OTHER"),
    ],
)
def test_finish_reasons(raw: str, expected: str) -> None:
    chunk = read(stop(raw), {"type": "message_stop"})
    assert chunk is not None
    end = chunk.events[-1].choice_finished
    assert FinishReason.Name(end.finish_reason) == f"FINISH_REASON_{expected}"
    assert end.raw_reason == raw


def test_pings_bring_nothing() -> None:
    assert read({"type": "ping"}) is None


def test_a_stream_that_ends_after_its_stop_reason_is_whole_and_before_it_is_not() -> None:
    reader = AnthropicReader(Masking(()), "sim")
    with pytest.raises(ProviderError) as caught:
        reader.finish()
    assert caught.value.kind is FailureKind.INTERRUPTED
    reader.read_events([msgspec.json.encode(stop())])
    chunk = reader.finish()
    assert [event.choice_finished.raw_reason for event in chunk.events] == ["end_turn"]


def test_a_stop_without_a_reason_is_no_clean_end() -> None:
    reader = AnthropicReader(Masking(()), "sim")
    reader.read_events([b'{"type":"message_stop"}'])
    assert not reader.whole
    assert reader.failure is not None
    assert reader.failure.kind is FailureKind.INTERRUPTED


def test_arguments_of_a_call_that_never_began_are_malformed() -> None:
    reader = AnthropicReader(Masking(()), "sim")
    delta = {"type": "input_json_delta", "partial_json": "{"}
    reader.read_events([msgspec.json.encode({"type": "content_block_delta", "index": 3, "delta": delta})])
    assert reader.failure is not None
    assert reader.failure.kind is FailureKind.MALFORMED


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"type":"message","content":5}'])
def test_a_body_that_is_not_the_protocols_is_malformed(body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        AnthropicReader(Masking(()), "sim").read_body(body)
    assert caught.value.kind is FailureKind.MALFORMED
