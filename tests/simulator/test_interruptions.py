"""Answers that go wrong on purpose, as the official SDKs see them."""

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import RawMessageStreamEvent
from openai import AsyncOpenAI

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
ASK: dict[str, Any] = {"messages": HELLO, "max_tokens": 10}


async def openai_texts(client: AsyncOpenAI, model: str, seen: list[str]) -> None:
    stream = await client.chat.completions.create(model=model, messages=HELLO, stream=True)
    async for chunk in stream:
        seen.extend(choice.delta.content for choice in chunk.choices if choice.delta.content)


async def anthropic_texts(client: AsyncAnthropic, model: str, seen: list[str]) -> None:
    stream = await client.messages.create(model=model, **ASK, stream=True)
    async for event in stream:
        seen.extend(texts_of(event))


def texts_of(event: RawMessageStreamEvent) -> list[str]:
    delta = event.delta if event.type == "content_block_delta" else None
    return [delta.text] if delta is not None and delta.type == "text_delta" else []


async def test_a_cut_stream_is_a_connection_error_after_the_tokens_sent(
    openai_client: AsyncOpenAI, control: Any
) -> None:
    seen: list[str] = []
    with pytest.raises(openai.APIConnectionError):
        await openai_texts(openai_client, "sim-small@cut-after=5", seen)
    assert len(seen) == 5
    record = (await control.served())[0]
    assert (record["outcome"], record["output_tokens"], record["written_tokens"]) == ("cut", 5, 5)


async def test_a_cut_message_stream_breaks_the_connection(
    anthropic_client: AsyncAnthropic, control: Any
) -> None:
    seen: list[str] = []
    # This SDK lets a stream's transport error through as it is.
    with pytest.raises(httpx2.RemoteProtocolError):
        await anthropic_texts(anthropic_client, "sim-small@cut-after=5", seen)
    assert len(seen) == 5
    assert (await control.served())[0]["outcome"] == "cut"


async def test_a_cut_whole_answer_is_a_connection_error_and_counts_nothing(
    openai_client: AsyncOpenAI,
    anthropic_client: AsyncAnthropic,
    control: Any,
) -> None:
    with pytest.raises(openai.APIConnectionError):
        await openai_client.chat.completions.create(model="sim-small@cut-after=5", messages=HELLO)
    with pytest.raises(anthropic.APIConnectionError):
        await anthropic_client.messages.create(model="sim-small@cut-after=5", **ASK)
    assert [(each["outcome"], each["written_tokens"]) for each in await control.served()] == [("cut", 0)] * 2


async def test_a_malformed_event_is_not_json(
    openai_client: AsyncOpenAI, anthropic_client: AsyncAnthropic
) -> None:
    seen: list[str] = []
    with pytest.raises(json.JSONDecodeError):
        await openai_texts(openai_client, "sim-small@malformed-after=3", seen)
    assert len(seen) == 3
    with pytest.raises(json.JSONDecodeError):
        await anthropic_texts(anthropic_client, "sim-small@malformed-after=3", seen)
    assert len(seen) == 6


async def test_an_error_event_raises_the_apis_error(
    openai_client: AsyncOpenAI, anthropic_client: AsyncAnthropic
) -> None:
    seen: list[str] = []
    with pytest.raises(openai.APIError, match="asked to fail"):
        await openai_texts(openai_client, "sim-small@error-after=3", seen)
    with pytest.raises(anthropic.APIStatusError, match="asked to fail"):
        await anthropic_texts(anthropic_client, "sim-small@error-after=3", seen)
    assert len(seen) == 6


async def test_a_stream_can_end_without_a_finish(openai_client: AsyncOpenAI, control: Any) -> None:
    stream = await openai_client.chat.completions.create(
        model="sim-small@end-after=3", messages=HELLO, stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 4
    assert (await control.served())[0]["outcome"] == "fault"


async def test_a_stream_can_finish_without_usage(openai_client: AsyncOpenAI) -> None:
    stream = await openai_client.chat.completions.create(
        model="sim-small@no-usage",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    whole = await openai_client.chat.completions.create(model="sim-small@no-usage", messages=HELLO)
    assert whole.usage is None


@pytest.mark.parametrize("model", ["sim-small@hang", "sim-small@hang-after=3"])
async def test_an_answer_that_hangs_times_out_and_the_record_says_that_the_client_left(
    openai_client: AsyncOpenAI,
    control: Any,
    model: str,
) -> None:
    impatient = openai_client.with_options(timeout=0.5, default_headers={"x-request-id": "r1"})
    with pytest.raises(openai.APITimeoutError):
        await openai_texts(impatient, model, [])
    assert (await control.ended("r1"))["outcome"] == "client_gone"


async def test_garbage_is_not_json(openai_client: AsyncOpenAI, control: Any) -> None:
    raw = await openai_client.chat.completions.with_raw_response.create(
        model="sim-small@garbage", messages=HELLO
    )
    assert raw.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        raw.http_response.json()
    assert (await control.served())[0]["outcome"] == "fault"


async def test_an_interruption_beyond_the_end_does_not_happen(openai_client: AsyncOpenAI) -> None:
    seen: list[str] = []
    await openai_texts(openai_client, "sim-small@tokens=4,cut-after=5", seen)
    assert len(seen) == 4
