"""The Anthropic SDK reads the simulator's messages, streamed and not."""

from typing import Any

from anthropic import AsyncAnthropic
from anthropic.types import Message, MessageParam, TextBlock, ThinkingBlock
from pydantic import BaseModel

HELLO: list[MessageParam] = [{"role": "user", "content": "Say something about rivers."}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class City(BaseModel):
    name: str
    districts: list[str]


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, TextBlock))


async def test_a_stream_accumulates_to_the_message_that_is_answered_whole(
    anthropic_client: AsyncAnthropic,
) -> None:
    whole = await anthropic_client.messages.create(model="sim-small", messages=HELLO, max_tokens=100)
    async with anthropic_client.messages.stream(model="sim-small", messages=HELLO, max_tokens=100) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert len(texts) == final.usage.output_tokens == whole.usage.output_tokens
    assert "".join(texts) == text_of(final) == text_of(whole)
    assert (
        (final.stop_reason, final.usage.input_tokens)
        == (whole.stop_reason, whole.usage.input_tokens)
        == ("end_turn", 5)
    )


async def test_the_events_come_in_the_apis_order(anthropic_client: AsyncAnthropic) -> None:
    stream = await anthropic_client.messages.create(
        model="sim-small@tokens=2",
        messages=HELLO,
        max_tokens=100,
        stream=True,
    )
    # The SDK keeps pings to itself: they are seen on the wire.
    assert [event.type async for event in stream] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    raw = await anthropic_client.post(
        "/v1/messages",
        body={"model": "sim-small@tokens=2", "messages": HELLO, "max_tokens": 9, "stream": True},
        cast_to=str,
    )
    assert 'event: ping\ndata: {"type":"ping"}\n\n' in raw


async def test_max_tokens_and_stop_sequences_end_the_text_and_say_so(
    anthropic_client: AsyncAnthropic,
) -> None:
    create = anthropic_client.messages.create
    whole = await create(model="sim-small@tokens=20", messages=HELLO, max_tokens=100)
    short = await create(model="sim-small@tokens=20", messages=HELLO, max_tokens=4)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 4)
    stop = text_of(whole).split()[5]
    stopped = await create(
        model="sim-small@tokens=20", messages=HELLO, max_tokens=100, stop_sequences=[stop, "%%"]
    )
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", stop)
    assert text_of(stopped) == text_of(whole)[: text_of(whole).index(stop)]


async def test_thinking_comes_first_and_is_signed(anthropic_client: AsyncAnthropic) -> None:
    asked: dict[str, Any] = {
        "model": "sim-small@tokens=5",
        "messages": HELLO,
        "max_tokens": 2048,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    whole = await anthropic_client.messages.create(**asked)
    async with anthropic_client.messages.stream(**asked) as stream:
        final = await stream.get_final_message()
    thinking = whole.content[0]
    assert isinstance(thinking, ThinkingBlock)
    assert len(thinking.thinking.split()) == 16
    assert thinking.signature
    assert whole.usage.output_tokens == 21
    assert [block.to_dict() for block in final.content] == [block.to_dict() for block in whole.content]


async def test_omitted_thinking_keeps_its_signature_and_its_price(anthropic_client: AsyncAnthropic) -> None:
    async with anthropic_client.messages.stream(
        model="sim-small@tokens=5",
        messages=HELLO,
        max_tokens=100,
        thinking={"type": "adaptive", "display": "omitted"},
    ) as stream:
        final = await stream.get_final_message()
    thinking = final.content[0]
    assert isinstance(thinking, ThinkingBlock)
    assert thinking.thinking == ""
    assert thinking.signature
    assert final.usage.output_tokens == 21


async def test_a_thinking_turn_can_be_sent_back(anthropic_client: AsyncAnthropic) -> None:
    first = await anthropic_client.messages.create(model="sim-reasoning", messages=HELLO, max_tokens=100)
    second = await anthropic_client.messages.create(
        model="sim-reasoning",
        messages=[*HELLO, first.to_param(), {"role": "user", "content": "And lakes?"}],
        max_tokens=100,
    )
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens


async def test_a_parsed_answer_satisfies_its_schema(anthropic_client: AsyncAnthropic) -> None:
    answer = await anthropic_client.messages.parse(
        model="sim-small",
        messages=HELLO,
        max_tokens=200,
        output_format=City,
    )
    assert answer.parsed_output is not None
    assert answer.parsed_output.name
    assert answer.parsed_output.districts


async def test_images_by_address_and_in_line_count_for_85_tokens_each(
    anthropic_client: AsyncAnthropic,
) -> None:
    answer = await anthropic_client.messages.create(
        model="sim-small",
        max_tokens=10,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Compare these."},
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                ],
            },
        ],
    )
    assert answer.usage.input_tokens == 2 + 2 * 85


async def test_counted_tokens_are_the_input_tokens_of_the_same_message(
    anthropic_client: AsyncAnthropic,
) -> None:
    asked: dict[str, Any] = {
        "model": "sim-small",
        "messages": HELLO,
        "system": "Be brief.",
        "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
    }
    counted = await anthropic_client.messages.count_tokens(**asked)
    answer = await anthropic_client.messages.create(**asked, max_tokens=5)
    assert counted.input_tokens == answer.usage.input_tokens > 7


async def test_a_marked_prefix_is_written_to_the_cache_once_and_read_after(
    anthropic_client: AsyncAnthropic,
) -> None:
    asked: dict[str, Any] = {
        "model": "sim-small",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "one two three", "cache_control": {"type": "ephemeral"}}],
    }
    first = await anthropic_client.messages.create(**asked, messages=HELLO)
    second = await anthropic_client.messages.create(**asked, messages=[{"role": "user", "content": "Hi"}])
    figures = [
        (m.usage.cache_creation_input_tokens, m.usage.cache_read_input_tokens, m.usage.input_tokens)
        for m in (first, second)
    ]
    assert figures == [(3, 0, 5), (0, 3, 1)]
