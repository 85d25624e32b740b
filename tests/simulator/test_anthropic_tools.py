"""The Anthropic SDK reads the simulator's tool use, and answers it."""

from typing import Any

import pytest
from anthropic import AsyncAnthropic
from anthropic.types import ToolParam, ToolUseBlock

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
}
TOOLS: list[ToolParam] = [
    {"name": "weather", "description": "The forecast", "input_schema": SCHEMA},
    {"name": "population", "input_schema": SCHEMA},
]


@pytest.mark.parametrize(
    ("choice", "asked", "called"),
    [
        ({"type": "any"}, "What now?", ["weather"]),
        ({"type": "tool", "name": "population"}, "What now?", ["population"]),
        ({"type": "auto"}, "call:weather and call:population!", ["weather", "population"]),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            "call:weather and call:population!",
            ["weather"],
        ),
        ({"type": "none"}, "call:weather", []),
        ({"type": "auto"}, "What now?", []),
    ],
)
async def test_tools_are_used_as_they_are_chosen(
    anthropic_client: AsyncAnthropic,
    choice: Any,
    asked: str,
    called: list[str],
) -> None:
    answer = await anthropic_client.messages.create(
        model="sim-small",
        max_tokens=100,
        messages=[{"role": "user", "content": asked}],
        tools=TOOLS,
        tool_choice=choice,
    )
    assert [block.name for block in answer.content if isinstance(block, ToolUseBlock)] == called
    assert answer.stop_reason == ("tool_use" if called else "end_turn")


async def test_streamed_input_accumulates_to_the_input_that_is_answered_whole(
    anthropic_client: AsyncAnthropic,
) -> None:
    asked: dict[str, Any] = {
        "model": "sim-small",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "call:weather call:population"}],
        "tools": TOOLS,
    }
    whole = await anthropic_client.messages.create(**asked)
    async with anthropic_client.messages.stream(**asked) as stream:
        fragments = [event.partial_json async for event in stream if event.type == "input_json"]
        final = await stream.get_final_message()
    uses = [block for block in final.content if isinstance(block, ToolUseBlock)]
    expected = [block for block in whole.content if isinstance(block, ToolUseBlock)]
    assert [(use.id, use.name, use.input) for use in uses] == [
        (use.id, use.name, use.input) for use in expected
    ]
    assert len(fragments) + len(uses) == final.usage.output_tokens == whole.usage.output_tokens


async def test_a_tool_result_is_answered_with_text(anthropic_client: AsyncAnthropic) -> None:
    answer = await anthropic_client.messages.create(
        model="sim-small",
        max_tokens=100,
        messages=[
            {"role": "user", "content": "call:weather"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "sunny"}]},
        ],
        tools=TOOLS,
    )
    assert answer.stop_reason == "end_turn"
    assert answer.content[0].type == "text"
