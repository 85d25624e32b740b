"""The OpenAI SDK reads the simulator's tool calls, and answers them."""

import json

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageFunctionToolCall, ChatCompletionToolParam

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
}
TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {"name": "weather", "description": "The forecast", "parameters": SCHEMA},
    },
    {"type": "function", "function": {"name": "population", "parameters": SCHEMA}},
]


async def test_a_required_tool_is_called_with_arguments_that_fit_its_schema(
    openai_client: AsyncOpenAI,
) -> None:
    answer = await openai_client.chat.completions.create(
        model="sim-small",
        messages=[{"role": "user", "content": "What now?"}],
        tools=TOOLS,
        tool_choice="required",
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    call = choice.message.tool_calls[0]
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "weather"
    assert isinstance(arguments["city"], str)
    assert arguments["days"] >= 1


async def test_a_named_tool_is_called_and_a_forbidden_one_is_not(openai_client: AsyncOpenAI) -> None:
    named = await openai_client.chat.completions.create(
        model="sim-small",
        messages=[{"role": "user", "content": "What now?"}],
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "population"}},
    )
    calls = named.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls if call.type == "function"] == ["population"]
    none = await openai_client.chat.completions.create(
        model="sim-small",
        messages=[{"role": "user", "content": "call:weather"}],
        tools=TOOLS,
        tool_choice="none",
    )
    assert none.choices[0].message.tool_calls is None


async def test_parallel_calls_stream_as_fragments_that_make_the_same_calls(
    openai_client: AsyncOpenAI,
) -> None:
    asked = "Please call:weather and call:population."
    whole = await openai_client.chat.completions.create(
        model="sim-small",
        messages=[{"role": "user", "content": asked}],
        tools=TOOLS,
    )
    async with openai_client.chat.completions.stream(
        model="sim-small",
        messages=[{"role": "user", "content": asked}],
        tools=TOOLS,
        stream_options={"include_usage": True},
    ) as stream:
        fragments = [e async for e in stream if e.type == "tool_calls.function.arguments.delta"]
        final = await stream.get_final_completion()
    calls = [call for call in whole.choices[0].message.tool_calls or [] if call.type == "function"]
    streamed = final.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["weather", "population"]
    assert [(c.id, c.function.name, c.function.arguments) for c in streamed] == [
        (c.id, c.function.name, c.function.arguments) for c in calls
    ]
    assert len(fragments) > len(calls)
    assert final.usage == whole.usage


async def test_parallel_calls_can_be_refused(openai_client: AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(
        model="sim-small",
        messages=[{"role": "user", "content": "call:weather call:population"}],
        tools=TOOLS,
        parallel_tool_calls=False,
    )
    assert len(answer.choices[0].message.tool_calls or []) == 1


async def test_a_tool_result_is_answered_with_text(openai_client: AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(
        model="sim-small",
        messages=[
            {"role": "user", "content": "call:weather"},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
        tools=TOOLS,
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content
