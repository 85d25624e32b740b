"""Answers that are wrong in any way: the readers fail as they say, keep what came before, and hold no more than came."""

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services._runtime.telemetry.masking import Masking
from services.router.providers.anthropic_answer import AnthropicReader
from services.router.providers.exchange import AnswerReader, whole_of
from services.router.providers.openai_answer import OpenAiReader
from services.router.providers.sse import SseParser
from services.router.targets.provider import ProviderError
from tests.support.shapes import anthropic, openai

READERS: dict[str, Callable[[], AnswerReader]] = {
    "openai": lambda: OpenAiReader(2, Masking(()), "sim"),
    "anthropic": lambda: AnthropicReader(Masking(()), "sim"),
}
SHAPES = {"openai": openai.SHAPES, "anthropic": anthropic.SHAPES}
STREAMS = {api: [s.stream for s in shapes.values() if s.stream] for api, shapes in SHAPES.items()}
BODIES = {api: [s.body for s in shapes.values() if s.body] for api, shapes in SHAPES.items()}
MANY = settings(max_examples=2500)
apis = pytest.mark.parametrize("api", READERS)

ODD_TEXTS = st.sampled_from(
    ["stop", "error", "{}", "0", "text", "tool_use", "a\ud83d", "\udcc3", "\ude00b", ""]
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64),
        st.floats(),
        st.text(max_size=8),
        ODD_TEXTS,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def bent(draw: st.DrawFn, valid: Any) -> Any:
    """The value with something else at some places."""
    value = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = value, None
        while isinstance(holder, dict | list) and holder:
            key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
            if not isinstance(holder[key], dict | list) or draw(st.integers(0, 2)) == 0:
                break
            holder = holder[key]
        if key is None or not isinstance(holder, dict | list) or not holder:
            continue
        if draw(st.booleans()):
            holder[key] = draw(ODD_TEXTS if isinstance(holder[key], str) and draw(st.booleans()) else VALUES)
        else:
            del holder[key]
    return value


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def events_of(stream: bytes) -> list[bytes]:
    return SseParser().feed(stream + b"\n\n")


def read(api: str, events: list[bytes]) -> tuple[str, AnswerReader]:
    """The text that came, and who read it. Everything told can be sent to a client."""
    reader = READERS[api]()
    text = ""
    for event in events:
        chunk = reader.read_events([event])
        for told in chunk.events if chunk is not None else ():
            told.SerializeToString()
            text += told.delta.text
        if reader.failure is not None or reader.whole:
            return text, reader
    try:
        for told in reader.finish().events:
            told.SerializeToString()
            text += told.delta.text
    except ProviderError as error:
        reader.failure = error
    return text, reader


@apis
@MANY
@given(data=st.data())
def test_events_of_any_shape(api: str, data: st.DataObject) -> None:
    events = events_of(data.draw(st.sampled_from(STREAMS[api])))
    at = data.draw(st.integers(0, len(events) - 1)) if events else 0
    try:
        valid = msgspec.json.decode(events[at])
    except (msgspec.DecodeError, UnicodeError, IndexError):
        return
    before, _ = read(api, events[:at])
    after, reader = read(api, [*events[:at], encoded(data.draw(bent(valid))), *events[at + 1 :]])
    kept = before.rstrip("\ufffd")
    assert after.startswith(kept), "what had come was lost"
    assert reader.whole or reader.failure is not None


@apis
@MANY
@given(data=st.data())
def test_bytes_of_any_kind(api: str, data: st.DataObject) -> None:
    stream = bytearray(data.draw(st.sampled_from(STREAMS[api])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(stream)))
        end = min(len(stream), at + data.draw(st.integers(0, 6)))
        stream[at:end] = data.draw(st.binary(max_size=6))
    _, reader = read(api, events_of(bytes(stream)))
    assert reader.whole or reader.failure is not None


@apis
@MANY
@given(data=st.data())
def test_whole_answers_of_any_shape(api: str, data: st.DataObject) -> None:
    valid = data.draw(st.sampled_from(BODIES[api]))
    try:
        body = encoded(data.draw(bent(msgspec.json.decode(valid))))
    except (msgspec.DecodeError, UnicodeError):
        body = valid[: data.draw(st.integers(0, len(valid)))]
    for is_stream in (False, True):
        reader = READERS[api]()
        try:
            chunk = whole_of(b"data: " + body, reader) if is_stream else reader.read_body(body)
        except ProviderError:
            continue
        for told in chunk.events:
            told.SerializeToString()


@apis
def test_a_call_that_can_never_be_told_ends_the_answer(api: str) -> None:
    if api == "openai":
        piece = openai.calls(openai.piece(None, "x" * 100_000, index=0))
    else:
        piece = {"type": "content_block_delta", "index": 0, "delta": anthropic.arguments("x" * 100_000)}
    begin = anthropic.call(0, "", "")[:1]
    _, reader = read(
        api, [encoded(event) for event in [*(begin if api == "anthropic" else []), *[piece] * 60]]
    )
    assert reader.failure is not None
    assert "did not come" in reader.failure.message
