"""Usage that is told late, and faults that are for one end user."""

import time
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, InternalServerError

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
LATE_SECONDS = 0.2


async def test_usage_comes_late_after_the_finish_of_a_stream(openai_client: AsyncOpenAI) -> None:
    stream = await openai_client.chat.completions.create(
        model="sim-small@tokens=3,late-usage=200ms",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": True},
    )
    told: dict[str, float] = {}
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].finish_reason:
            told["finish"] = time.monotonic()
        if chunk.usage is not None:
            told["usage"] = time.monotonic()
            assert chunk.usage.completion_tokens == 3
    assert told["usage"] - told["finish"] >= LATE_SECONDS * 0.9


async def test_a_message_ends_late_with_its_usage(anthropic_client: AsyncAnthropic) -> None:
    stream = await anthropic_client.messages.create(
        model="sim-small@tokens=3,late-usage=200ms", messages=HELLO, max_tokens=10, stream=True
    )
    told: dict[str, float] = {}
    async for event in stream:
        told[event.type] = time.monotonic()
        if event.type == "message_delta":
            assert event.usage.output_tokens == 3
    assert told["message_delta"] - told["content_block_stop"] >= LATE_SECONDS * 0.9


async def test_a_fault_for_one_user_meets_nobody_else(
    openai_client: AsyncOpenAI, anthropic_client: AsyncAnthropic, control: Any
) -> None:
    ask: dict[str, Any] = {"model": "sim-small@tokens=3", "messages": HELLO}
    assert await control.fault({"faults": {"status": 500}, "user": "one", "count": 1}) == 204
    assert await control.fault({"faults": {"tier": "flex"}, "user": "two", "count": None}) == 204
    assert (await openai_client.chat.completions.create(**ask)).service_tier == "default"
    assert (await openai_client.chat.completions.create(**ask, user="two")).service_tier == "flex"
    with pytest.raises(InternalServerError):
        await openai_client.chat.completions.create(**ask, user="one")
    assert (await openai_client.chat.completions.create(**ask, user="one")).service_tier == "default"
    message = await anthropic_client.messages.create(**ask, max_tokens=9, metadata={"user_id": "two"})
    assert message.usage.service_tier == "flex"
    assert [each["tier"] for each in await control.served()] == ["", "flex", "", "", "flex"]
    await control.clear_faults(user="two")
    assert await control.faults() == []
