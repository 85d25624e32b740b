"""Whatever shape a server gives its answer, and however the network cuts it, the answer is the same."""

from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from headgate.chat.v1.finish_reason_pb2 import FinishReason
from services._runtime.telemetry.masking import Masking
from services.router.answers.collect import collect
from services.router.holding import AnswerBytes, Share
from services.router.providers import exchange
from services.router.providers.anthropic_answer import AnthropicReader
from services.router.providers.openai_answer import OpenAiReader
from services.router.targets.declaration import Timeouts
from services.router.targets.provider import Chunk, ProviderError
from tests.support.shapes import anthropic, openai
from tests.support.shapes.shape import Shape

SHAPES = {("openai", name): shape for name, shape in openai.SHAPES.items()} | {
    ("anthropic", name): shape for name, shape in anthropic.SHAPES.items()
}
STREAMS = [key for key, shape in SHAPES.items() if shape.stream]
BODIES = [key for key, shape in SHAPES.items() if shape.body]


class Reads:
    """In place of an HTTP answer: so many streams, cut in so many ways, would take HTTP itself an hour."""

    content_type = "text/event-stream"
    waits_for = ""
    now = 0.0

    def __init__(self, reads: Sequence[bytes]) -> None:
        self._reads = [read for read in reads if read]

    def expect_within(self, seconds: float, waits_for: str) -> None: ...

    async def read(self) -> bytes:
        return self._reads.pop(0) if self._reads else b""

    async def read_whole(self, share: Share) -> bytes:
        return b"".join(self._reads)

    async def finish(self) -> None: ...

    def close(self) -> None: ...


def reader_of(api: str, shape: Shape) -> exchange.AnswerReader:
    return (
        OpenAiReader(shape.choice_count, Masking(()), "sim")
        if api == "openai"
        else AnthropicReader(Masking(()), "sim")
    )


def read(api: str, shape: Shape, *reads: bytes) -> Shape:
    """A stream as the adapter reads it."""

    async def post(*_: object) -> Reads:
        return Reads(reads)

    pool: Any = SimpleNamespace(timeouts=Timeouts(), post=post)
    asked = exchange.Question(URL("http://server"), bytes, "", AnswerBytes(10**6).share(""))
    chunks = exchange.stream(pool, asked, reader_of(api, shape))
    got = list[Chunk]()
    while True:
        try:
            # Nothing here ever waits, so the first step is the last.
            anext(chunks).send(None)
        except StopIteration as step:
            got.append(step.value)
        except StopAsyncIteration:
            return told(got, None)
        except ProviderError as error:
            return told(got, error)


def told(chunks: list[Chunk], failure: ProviderError | None) -> Shape:
    """What came, as a shape would have it."""
    events = [event for chunk in chunks for event in chunk.events]
    choices = collect(events).choices
    parts = [part for choice in choices for part in choice.message.parts]
    refusal = "".join(event.delta.refusal for event in events)
    text = "".join(part.text for part in parts)
    usage = next((chunk.usage for chunk in reversed(chunks) if chunk.usage is not None), None)
    ends = {event.choice_finished.finish_reason for event in events if event.HasField("choice_finished")}
    calls = [part.tool_call for part in parts if part.HasField("tool_call")]
    return Shape(
        text=text.removesuffix(refusal),
        refusal=refusal,
        reasoning="".join(part.reasoning.text for part in parts),
        calls=tuple((call.name, call.arguments_json) for call in calls),
        ids=tuple(call.id for call in calls),
        finish=" ".join(FinishReason.Name(end).removeprefix("FINISH_REASON_") for end in ends),
        usage=usage and (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens),
        failure=failure.kind if failure else None,
    )


def check(got: Shape, wanted: Shape, *, ends: bool = True) -> None:
    assert got.failure == wanted.failure
    assert (got.text, got.reasoning, got.refusal, got.calls) == (
        wanted.text,
        wanted.reasoning,
        wanted.refusal,
        wanted.calls,
    )
    assert all(got.ids), "a call without an id"
    assert len(set(got.ids)) == len(got.ids)
    if wanted.ids:
        assert got.ids == wanted.ids
    if ends and wanted.failure is None:
        assert got.usage == wanted.usage
        assert got.finish == wanted.finish


@pytest.mark.parametrize(("api", "name"), STREAMS)
def test_a_stream_in_one_read(api: str, name: str) -> None:
    shape = SHAPES[api, name]
    check(read(api, shape, shape.stream), shape)


@pytest.mark.parametrize(("api", "name"), STREAMS)
def test_a_stream_cut_at_every_byte(api: str, name: str) -> None:
    shape = SHAPES[api, name]
    for at in range(len(shape.stream) + 1):
        check(read(api, shape, shape.stream[:at], shape.stream[at:]), shape)


@given(key=st.sampled_from(STREAMS), cuts=st.lists(st.integers(0, 2000), max_size=40))
def test_a_stream_in_any_reads(key: tuple[str, str], cuts: list[int]) -> None:
    shape = SHAPES[key]
    edges = sorted({0, len(shape.stream), *(cut for cut in cuts if cut < len(shape.stream))})
    reads = [shape.stream[begin:end] for begin, end in pairwise(edges)]
    check(read(key[0], shape, *reads), shape)


@pytest.mark.parametrize(("api", "name"), STREAMS)
def test_a_stream_that_breaks_off_is_whole_or_a_failure(api: str, name: str) -> None:
    """Never less than the whole answer and no failure."""
    shape = SHAPES[api, name]
    if shape.failure is not None:
        return
    for length in range(len(shape.stream)):
        got = read(api, shape, shape.stream[:length])
        if got.failure is None:
            check(got, shape, ends=False)


@pytest.mark.parametrize(("api", "name"), BODIES)
def test_a_whole_answer(api: str, name: str) -> None:
    shape = SHAPES[api, name]
    failure, chunks = None, list[Chunk]()
    try:
        chunks.append(reader_of(api, shape).read_body(shape.body))
    except ProviderError as error:
        failure = error
    got = told(chunks, failure)
    if shape.failure is not None:
        assert got.failure == shape.failure
    else:
        check(got, shape)


@pytest.mark.parametrize(("api", "name"), STREAMS)
def test_a_stream_where_a_whole_answer_was_asked_for(api: str, name: str) -> None:
    shape = SHAPES[api, name]
    try:
        got = told([exchange.whole_of(shape.stream, reader_of(api, shape))], None)
    except ProviderError as error:
        got = Shape(failure=error.kind)
    if shape.failure is not None:
        assert got.failure == shape.failure
    else:
        check(got, shape)
