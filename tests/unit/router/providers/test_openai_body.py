"""Requests as the exact JSON that OpenAI-compatible servers get."""

import json
from typing import Any

import pytest
from google.protobuf import json_format

from headgate.router.v1 import completion_pb2
from services.router.providers.openai_body import body_of
from services.router.providers.openai_dialect import Dialect
from services.router.targets.provider import FailureKind, ProviderError

HI = {"role": "ROLE_USER", "parts": [{"text": "hi"}]}
CALL = {"toolCall": {"id": "c1", "name": "f", "argumentsJson": '{"a":1}'}}


def request(**fields: Any) -> completion_pb2.CompletionRequest:
    return json_format.ParseDict({"messages": [HI], **fields}, completion_pb2.CompletionRequest())


def body(asked: completion_pb2.CompletionRequest, dialect: Dialect | None = None, **options: Any) -> Any:
    chosen: dict[str, Any] = {"streamed": False, "max_output_tokens": None} | options
    return json.loads(body_of("m", asked, dialect or Dialect(), **{"provider": "sim"} | chosen))


def said(*messages: dict[str, Any]) -> Any:
    return body(request(messages=list(messages)))["messages"]


def test_the_least_request() -> None:
    assert body(request()) == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_a_stream_asks_for_usage() -> None:
    assert body(request(), streamed=True) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_server_with_continuous_usage_is_asked_for_it() -> None:
    asked = body(request(), Dialect(continuous_usage=True), streamed=True)
    assert asked["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_output_limit_has_the_name_that_the_server_knows(field: str) -> None:
    asked = body(request(maxOutputTokens=9), Dialect(max_tokens_field=field), max_output_tokens=5)
    assert asked == {"model": "m", "messages": [{"role": "user", "content": "hi"}], field: 5}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0}, {"temperature": 0.0}),
        ({"topP": 0.5}, {"top_p": 0.5}),
        ({"topK": 5}, {"top_k": 5}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"seed": "-7"}, {"seed": -7}),
        (
            {"presencePenalty": -1, "frequencyPenalty": 0},
            {"presence_penalty": -1.0, "frequency_penalty": 0.0},
        ),
        ({"topLogprobs": 0}, {"logprobs": True, "top_logprobs": 0}),
        ({"topLogprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"choiceCount": 2}, {"n": 2}),
        ({"parallelToolCalls": False}, {"parallel_tool_calls": False}),
        ({"toolChoice": {"mode": "TOOL_CHOICE_MODE_AUTO"}}, {"tool_choice": "auto"}),
        ({"toolChoice": {"mode": "TOOL_CHOICE_MODE_NONE"}}, {"tool_choice": "none"}),
        ({"toolChoice": {"mode": "TOOL_CHOICE_MODE_REQUIRED"}}, {"tool_choice": "required"}),
        ({"toolChoice": {"name": "f"}}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"tools": [{"name": "f"}]}, {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        (
            {
                "tools": [
                    {"name": "f", "description": "d", "parametersJson": ' {"type":"object"}', "strict": False}
                ]
            },
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "f",
                            "description": "d",
                            "parameters": {"type": "object"},
                            "strict": False,
                        },
                    }
                ]
            },
        ),
        ({"responseFormat": {"text": {}}}, {"response_format": {"type": "text"}}),
        ({"responseFormat": {"json": {}}}, {"response_format": {"type": "json_object"}}),
        (
            {
                "responseFormat": {
                    "jsonSchema": {"name": "n", "schemaJson": "{}", "description": "d", "strict": True}
                }
            },
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {}, "description": "d", "strict": True},
                }
            },
        ),
        (
            {"responseFormat": {"grammar": {"syntax": "gbnf", "definition": "root ::= x"}}},
            {"grammar": "root ::= x"},
        ),
        (
            {"responseFormat": {"grammar": {"syntax": "regex", "definition": "a+"}}},
            {"structured_outputs": {"regex": "a+"}},
        ),
        (
            {"responseFormat": {"grammar": {"syntax": "lark", "definition": "start: x"}}},
            {"structured_outputs": {"grammar": "start: x"}},
        ),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"serviceTier": "flex"}, {"service_tier": "flex"}),
        ({"endUserId": "u"}, {"user": "u"}),
        (
            {"providerOptions": {"min_p": 0.5, "best_of": 2, "deep": {"list": [1, None, True, "s"]}}},
            {"min_p": 0.5, "best_of": 2, "deep": {"list": [1, None, True, "s"]}},
        ),
        (
            {
                "labels": {"team": "a"},
                "fallbackModels": ["x"],
                "cache": {"mode": "CACHE_MODE_OFF"},
                "requestId": "r",
            },
            {},
        ),
    ],
)
def test_each_field_becomes(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body(request(**fields)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        **expected,
    }


def test_every_role_and_name() -> None:
    assert said(
        {"role": "ROLE_SYSTEM", "parts": [{"text": "be"}, {"text": "brief"}]},
        {"role": "ROLE_USER", "name": "ann", "parts": [{"text": "hi"}]},
        {"role": "ROLE_ASSISTANT", "parts": [{"text": "a"}, {"text": "b"}]},
    ) == [
        {"role": "system", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]},
        {"role": "user", "content": "hi", "name": "ann"},
        {"role": "assistant", "content": "ab"},
    ]


def test_images_audio_and_documents() -> None:
    parts = [
        {"text": "see"},
        {"uri": {"uri": "https://x/y.png", "detail": "low"}},
        {"blob": {"mediaType": "image/png", "data": "AAE=", "detail": "high"}},
        {"blob": {"mediaType": "audio/mpeg", "data": "AAE="}},
        {"blob": {"mediaType": "application/pdf", "data": "AAE="}},
    ]
    assert said({"role": "ROLE_USER", "parts": parts})[0]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAE=", "detail": "high"}},
        {"type": "input_audio", "input_audio": {"data": "AAE=", "format": "mp3"}},
        {
            "type": "file",
            "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AAE="},
        },
    ]


def test_calls_and_their_results() -> None:
    results = [
        {"toolResult": {"toolCallId": "c1", "text": "1"}},
        {"toolResult": {"toolCallId": "c2", "text": "no", "isError": True}},
    ]
    second = {"toolCall": {"id": "c2", "name": "g"}}
    assert said(
        {"role": "ROLE_ASSISTANT", "parts": [{"reasoning": {"text": "hm"}}, CALL, second]},
        {"role": "ROLE_TOOL", "parts": results},
    ) == [
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no"},
    ]


@pytest.mark.parametrize(
    "text", ['{}, "model": "other"', "[]", "{", "null", "nonsense", '{"a":1} {}', '{"a":' * 100_000]
)
def test_text_that_is_not_one_json_object_never_reaches_a_body(text: str) -> None:
    with pytest.raises(ProviderError) as caught:
        body(request(tools=[{"name": "f", "parametersJson": text}]))
    assert caught.value.kind is FailureKind.REJECTED
    assert "tools[0].parameters_json" in caught.value.message
