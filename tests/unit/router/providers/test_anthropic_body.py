"""Requests as the exact JSON that Anthropic's Messages API gets."""

import json
from typing import Any

import pytest
from google.protobuf import json_format

from headgate.router.v1 import completion_pb2
from services.router.providers.anthropic_body import body_of, count_body_of
from services.router.targets.provider import FailureKind, ProviderError

HI = {"role": "ROLE_USER", "parts": [{"text": "hi"}]}
HI_TURN = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
TOOLS = [{"name": "f"}]
TOOL_BLOCKS = [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


def request(**fields: Any) -> completion_pb2.CompletionRequest:
    return json_format.ParseDict({"messages": [HI], **fields}, completion_pb2.CompletionRequest())


def body(asked: completion_pb2.CompletionRequest, **options: Any) -> Any:
    chosen: dict[str, Any] = {"streamed": False, "max_output_tokens": 9000} | options
    return json.loads(body_of("m", asked, **{"provider": "sim"} | chosen))


def said(*messages: dict[str, Any]) -> Any:
    return body(request(messages=list(messages)))["messages"]


def test_the_least_request() -> None:
    assert body(request()) == {"model": "m", "max_tokens": 9000, "messages": [HI_TURN]}


def test_a_stream() -> None:
    assert body(request(), streamed=True)["stream"] is True


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0}, {"temperature": 0.0}),
        ({"topP": 0.5, "topK": 5}, {"top_p": 0.5, "top_k": 5}),
        ({"stop": ["a"]}, {"stop_sequences": ["a"]}),
        ({"choiceCount": 1, "presencePenalty": 0, "frequencyPenalty": 0}, {}),
        ({"tools": TOOLS}, {"tools": TOOL_BLOCKS}),
        (
            {
                "tools": [
                    {"name": "f", "description": "d", "parametersJson": '{"type":"object"}', "strict": True}
                ]
            },
            {
                "tools": [
                    {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}
                ]
            },
        ),
        (
            {"tools": TOOLS, "toolChoice": {"mode": "TOOL_CHOICE_MODE_REQUIRED"}},
            {"tools": TOOL_BLOCKS, "tool_choice": {"type": "any"}},
        ),
        (
            {"tools": TOOLS, "toolChoice": {"mode": "TOOL_CHOICE_MODE_NONE"}, "parallelToolCalls": False},
            {"tools": TOOL_BLOCKS, "tool_choice": {"type": "none"}},
        ),
        (
            {"tools": TOOLS, "toolChoice": {"name": "f"}, "parallelToolCalls": False},
            {
                "tools": TOOL_BLOCKS,
                "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            },
        ),
        (
            {"tools": TOOLS, "parallelToolCalls": True},
            {"tools": TOOL_BLOCKS, "tool_choice": {"type": "auto", "disable_parallel_tool_use": False}},
        ),
        ({"responseFormat": {"text": {}}}, {}),
        (
            {
                "responseFormat": {
                    "jsonSchema": {"name": "n", "description": "d", "schemaJson": '{"type":"object"}'}
                }
            },
            {
                "output_config": {
                    "format": {
                        "type": "json_schema",
                        "schema": {"title": "n", "description": "d", "type": "object"},
                    }
                }
            },
        ),
        ({"reasoning": {"effort": "none"}}, {"thinking": {"type": "disabled"}}),
        (
            {"reasoning": {"effort": "high"}},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        (
            {"reasoning": {"budgetTokens": "2048", "effort": "low"}},
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "output_config": {"effort": "low"}},
        ),
        ({"serviceTier": "auto"}, {"service_tier": "auto"}),
        ({"endUserId": "u"}, {"metadata": {"user_id": "u"}}),
        ({"providerOptions": {"inference_geo": "eu"}}, {"inference_geo": "eu"}),
        ({"labels": {"team": "a"}, "fallbackModels": ["x"], "cache": {}, "requestId": "r"}, {}),
    ],
)
def test_each_field_becomes(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body(request(**fields)) == {"model": "m", "max_tokens": 9000, "messages": [HI_TURN], **expected}


def test_a_schemas_own_title_stays() -> None:
    wanted = {"jsonSchema": {"name": "n", "schemaJson": '{"title":"own"}'}}
    assert body(request(responseFormat=wanted))["output_config"]["format"]["schema"] == {"title": "own"}


def test_instructions_before_the_conversation_are_the_system_and_later_ones_stay_in_place() -> None:
    asked = request(
        messages=[
            {"role": "ROLE_SYSTEM", "parts": [{"text": "be"}]},
            {"role": "ROLE_SYSTEM", "parts": [{"text": "brief"}]},
            HI,
            {"role": "ROLE_SYSTEM", "parts": [{"text": "now at length"}]},
        ]
    )
    assert body(asked)["system"] == [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]
    assert body(asked)["messages"] == [
        HI_TURN,
        {"role": "system", "content": [{"type": "text", "text": "now at length"}]},
    ]


def test_neighbours_of_one_role_are_one_turn() -> None:
    calls = [{"toolCall": {"id": f"c{n}", "name": "f", "argumentsJson": '{"n":1}'}} for n in (1, 2)]
    assert said(
        HI,
        {"role": "ROLE_ASSISTANT", "parts": [{"text": "a"}, *calls]},
        {"role": "ROLE_TOOL", "parts": [{"toolResult": {"toolCallId": "c1", "text": "1"}}]},
        {"role": "ROLE_TOOL", "parts": [{"toolResult": {"toolCallId": "c2", "text": "no", "isError": True}}]},
        HI,
    ) == [
        HI_TURN,
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"n": 1}},
                {"type": "tool_use", "id": "c2", "name": "f", "input": {"n": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "1"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "no", "is_error": True},
                {"type": "text", "text": "hi"},
            ],
        },
    ]


def test_images_and_documents() -> None:
    parts = [
        {"uri": {"uri": "https://x/y.png"}},
        {"uri": {"uri": "https://x/y.pdf", "mediaType": "application/pdf"}},
        {"blob": {"mediaType": "image/png", "data": "AAE="}},
        {"blob": {"mediaType": "application/pdf", "data": "AAE="}},
        {"blob": {"mediaType": "text/plain", "data": "aGk="}},
    ]
    assert said({"role": "ROLE_USER", "parts": parts})[0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAE="}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAE="}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
    ]


def test_reasoning_goes_back_as_it_came() -> None:
    parts = [{"reasoning": {"text": "hm", "signature": "s"}}, {"reasoning": {"redactedData": "x"}}]
    assert said(HI, {"role": "ROLE_ASSISTANT", "parts": parts})[1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
    ]


def test_without_a_limit_there_is_a_default_beside_the_reasoning() -> None:
    assert body(request(), max_output_tokens=None)["max_tokens"] == 4096
    thoughtful = request(reasoning={"budgetTokens": "2048"})
    assert body(thoughtful, max_output_tokens=None)["max_tokens"] == 6144


def test_a_budget_that_leaves_no_room_is_rejected() -> None:
    with pytest.raises(ProviderError) as caught:
        body(request(reasoning={"budgetTokens": "2048"}), max_output_tokens=2048)
    assert caught.value.kind is FailureKind.REJECTED


def test_counting_sends_the_prompt_and_nothing_else() -> None:
    asked = request(
        messages=[{"role": "ROLE_SYSTEM", "parts": [{"text": "be"}]}, HI], tools=TOOLS, temperature=1
    )
    assert json.loads(count_body_of("m", asked, "sim")) == {
        "model": "m",
        "system": [{"type": "text", "text": "be"}],
        "messages": [HI_TURN],
        "tools": TOOL_BLOCKS,
    }
