"""No field of a request is lost: each one changes the body, or is reported as unsupported, or is Headgate's own."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor

from headgate.router.v1 import completion_pb2
from services.router.providers import anthropic_body, anthropic_fit, openai_body, openai_fit
from services.router.providers.openai_dialect import Dialect
from services.router.targets.option_names import OWN as OWN_FIELDS
from services.router.targets.provider import Unsupported

Fields = dict[str, Any]

# What is for Headgate itself, and never for a provider.
OWN = {
    "model",
    "prompt",
    "labels",
    "fallback_models",
    "cache.mode",
    "cache.ttl",
    "cache.max_age",
    "cache.semantic",
    "request_id",
}


def turn(*parts: Fields, role: str = "USER", **fields: Any) -> Fields:
    return {"messages": [{"role": f"ROLE_{role}", "parts": list(parts), **fields}]}


def tool(**fields: Any) -> Fields:
    return {"tools": [{"name": "f", **fields}]}


def schema(**fields: Any) -> Fields:
    return {"responseFormat": {"jsonSchema": {"name": "n", "schemaJson": "{}", **fields}}}


def blob(**fields: Any) -> Fields:
    return turn({"blob": {"mediaType": "image/png", "data": "AAE=", **fields}})


def uri(**fields: Any) -> Fields:
    return turn({"uri": {"uri": "https://x/y", **fields}})


HI = turn({"text": "hi"})


def talk(*said: Fields, results: tuple[Fields, ...] = ()) -> Fields:
    """A question, what the model said to it, and the results of what it called."""
    turns = [HI["messages"][0], {"role": "ROLE_ASSISTANT", "parts": list(said)}]
    answered = [{"role": "ROLE_TOOL", "parts": [{"toolResult": each} for each in results]}] if results else []
    return {"messages": [*turns, *answered]}


def call(**fields: Any) -> Fields:
    made = {"id": "c", "name": "f", **fields}
    return talk({"toolCall": made}, results=({"toolCallId": made["id"]},))


def result(**fields: Any) -> Fields:
    calls = [{"toolCall": {"id": each, "name": "f"}} for each in ("c", "d")]
    return talk(
        *calls, results=({"toolCallId": "c", "text": "1"} | fields, {"toolCallId": "d"}, {"toolCallId": "c"})
    )


def reasoning(**fields: Any) -> Fields:
    return talk({"reasoning": fields}, {"text": "so"})


def cited(**fields: Any) -> Fields:
    source = {"startIndex": 0, "endIndex": 2, "stateJson": '{"type":"char_location"}', "provider": "sim"}
    return talk({"text": "so", "annotations": [source | fields]})


def grammar(**fields: Any) -> Fields:
    return {"responseFormat": {"grammar": {"syntax": "gbnf", "definition": "root ::= x", **fields}}}


# Each field: a request without it, or with another value, and one with it.
SAMPLES: dict[str, tuple[Fields, Fields]] = {
    "messages.role": (HI, turn({"text": "hi"}, role="ASSISTANT")),
    "messages.name": (HI, turn({"text": "hi"}, name="ann")),
    "messages.parts.text": (HI, turn({"text": "ho"})),
    "messages.parts.blob.media_type": (blob(), blob(mediaType="image/jpeg")),
    "messages.parts.blob.data": (blob(), blob(data="AAI=")),
    "messages.parts.blob.detail": (blob(), blob(detail="low")),
    "messages.parts.uri.uri": (uri(), uri(uri="https://x/z")),
    "messages.parts.uri.media_type": (uri(), uri(mediaType="application/pdf")),
    "messages.parts.uri.detail": (uri(), uri(detail="high")),
    "messages.parts.tool_call.id": (call(), call(id="d")),
    "messages.parts.tool_call.name": (call(), call(name="g")),
    "messages.parts.tool_call.arguments_json": (call(), call(argumentsJson='{"a":1}')),
    "messages.parts.tool_result.tool_call_id": (result(), result(toolCallId="d")),
    "messages.parts.tool_result.text": (result(), result(text="42")),
    "messages.parts.tool_result.is_error": (result(text="no"), result(text="no", isError=True)),
    "messages.parts.tool_call.state_json": (
        call(provider="sim"),
        call(provider="sim", stateJson='{"extra_content":{"a":1}}'),
    ),
    "messages.parts.tool_call.provider": (
        call(stateJson='{"x":1}'),
        call(stateJson='{"x":1}', provider="sim"),
    ),
    **{
        f"messages.parts.annotations.{field}": (cited(), cited(**{name: value}))
        for field, name, value in (
            ("type", "type", "t"),
            ("url", "url", "https://x"),
            ("title", "title", "t"),
            ("cited_text", "citedText", "c"),
            ("start_index", "startIndex", 1),
            ("end_index", "endIndex", 1),
            ("state_json", "stateJson", '{"type":"t"}'),
            ("provider", "provider", "other"),
        )
    },
    "messages.parts.reasoning.text": (
        reasoning(provider="sim", signature="s"),
        reasoning(provider="sim", signature="s", text="hm"),
    ),
    "messages.parts.reasoning.signature": (reasoning(text="hm"), reasoning(text="hm", signature="s")),
    "messages.parts.reasoning.redacted_data": (reasoning(provider="x"), reasoning(redactedData="x")),
    "messages.parts.reasoning.provider": (
        reasoning(text="hm", signature="s"),
        reasoning(text="hm", signature="s", provider="x"),
    ),
    "messages.parts.reasoning.state_json": (
        reasoning(provider="sim"),
        reasoning(provider="sim", stateJson='{"x":[1]}'),
    ),
    "max_output_tokens": (HI, {"maxOutputTokens": 9}),
    "temperature": (HI, {"temperature": 0}),
    "top_p": (HI, {"topP": 0.5}),
    "top_k": (HI, {"topK": 5}),
    "stop": (HI, {"stop": ["."]}),
    "seed": (HI, {"seed": 0}),
    "presence_penalty": (HI, {"presencePenalty": 1}),
    "frequency_penalty": (HI, {"frequencyPenalty": 1}),
    "top_logprobs": (HI, {"topLogprobs": 0}),
    "choice_count": (HI, {"choiceCount": 2}),
    "tools.name": (HI, tool()),
    "tools.description": (tool(), tool(description="d")),
    "tools.parameters_json": (tool(), tool(parametersJson='{"type":"object"}')),
    "tools.strict": (tool(), tool(strict=False)),
    "tool_choice.mode": (tool(), tool() | {"toolChoice": {"mode": "TOOL_CHOICE_MODE_REQUIRED"}}),
    "tool_choice.name": (tool(), tool() | {"toolChoice": {"name": "f"}}),
    "parallel_tool_calls": (tool(), tool() | {"parallelToolCalls": False}),
    "response_format.json": (HI, {"responseFormat": {"json": {}}}),
    "response_format.json_schema.name": (schema(), schema(name="m")),
    "response_format.json_schema.schema_json": (schema(), schema(schemaJson='{"type":"object"}')),
    "response_format.json_schema.description": (schema(), schema(description="d")),
    "response_format.json_schema.strict": (schema(), schema(strict=True)),
    "response_format.grammar.syntax": (HI, grammar(syntax="lark")),
    "response_format.grammar.definition": (HI, grammar()),
    "reasoning.effort": (HI, {"reasoning": {"effort": "low"}}),
    "reasoning.budget_tokens": (HI, {"reasoning": {"budgetTokens": 2048}}),
    "service_tier": (HI, {"serviceTier": "flex"}),
    "end_user_id": (HI, {"endUserId": "u"}),
    "provider_options": (HI, {"providerOptions": {"min_p": 0.5}}),
}
# Fields that say what an API does anyway.
EXPRESSED_BY_DEFAULT = {
    ("openai", "response_format.text"),
    ("anthropic", "response_format.text"),
    # What this API takes is always guaranteed.
    ("anthropic", "response_format.json_schema.strict"),
}
# Reasoning, state and sources go to who made them where its API takes them, and are left out elsewhere: the contract says so.
LEFT_OUT = {
    *(
        ("openai", f"messages.parts.annotations.{field}")
        for field in ("start_index", "end_index", "state_json", "provider")
    ),
    *(
        (api, f"messages.parts.annotations.{field}")
        for api in ("openai", "anthropic")
        for field in ("type", "url", "title", "cited_text")
    ),
    ("openai", "messages.parts.reasoning.provider"),
    ("openai", "messages.parts.reasoning.redacted_data"),
    ("anthropic", "messages.parts.reasoning.state_json"),
    ("anthropic", "messages.parts.tool_call.state_json"),
    ("anthropic", "messages.parts.tool_call.provider"),
}
SAMPLES["response_format.text"] = (HI, {"responseFormat": {"text": {}}})


def request(fields: Fields) -> completion_pb2.CompletionRequest:
    return json_format.ParseDict(HI | fields, completion_pb2.CompletionRequest())


def body(api: str, asked: completion_pb2.CompletionRequest) -> Any:
    limit = asked.max_output_tokens or None
    if api == "anthropic":
        return json.loads(
            anthropic_body.body_of("m", asked, streamed=False, max_output_tokens=limit, provider="sim")
        )
    return json.loads(
        openai_body.body_of("m", asked, Dialect(), streamed=False, max_output_tokens=limit, provider="sim")
    )


def unsupported(api: str, fields: Fields) -> list[Unsupported]:
    asked = request(fields)
    misfits = anthropic_fit.misfits(asked) if api == "anthropic" else openai_fit.misfits(asked, Dialect())
    return list(misfits)


def paths(descriptor: Descriptor, prefix: str = "") -> Iterator[str]:
    """Every field that holds a value, by its way from the top."""
    for field in descriptor.fields:
        kind = field.message_type
        own = kind is not None and kind.full_name.startswith("headgate.")
        if kind is not None and own and not kind.GetOptions().map_entry and kind.fields:
            yield from paths(kind, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def test_every_field_of_a_request_has_a_sample_here() -> None:
    known = set(paths(completion_pb2.CompletionRequest.DESCRIPTOR))
    assert known == set(SAMPLES) | OWN


@pytest.mark.parametrize("api", ["openai", "anthropic"])
@pytest.mark.parametrize("path", SAMPLES)
def test_a_field_is_in_the_body_or_reported(api: str, path: str) -> None:
    without, given = SAMPLES[path]
    reported = [each.field for each in unsupported(api, given)]
    if reported:
        plain = ["".join(step.partition("[")[0] for step in each.split(".")) for each in reported]
        named = "".join(path.split("."))
        assert any(named.startswith(each) or each.startswith(named) for each in plain)
    elif (api, path) in EXPRESSED_BY_DEFAULT:
        return
    elif (api, path) in LEFT_OUT:
        assert body(api, request(given)) == body(api, request(without))
    else:
        assert body(api, request(given)) != body(api, request(without))


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_what_is_reported_comes_with_a_reason(api: str) -> None:
    for _, given in SAMPLES.values():
        for misfit in unsupported(api, given):
            assert len(misfit.reason) > 10


@pytest.mark.parametrize("api", ["openai", "anthropic"])
@pytest.mark.parametrize("path", sorted(OWN - {"prompt"}))
def test_headgates_own_fields_stay_at_home(api: str, path: str) -> None:
    samples: dict[str, Fields] = {
        "model": {"model": "other"},
        "labels": {"labels": {"team": "a"}},
        "fallback_models": {"fallbackModels": ["x"]},
        "cache.mode": {"cache": {"mode": "CACHE_MODE_ON"}},
        "cache.ttl": {"cache": {"ttl": "5s"}},
        "cache.max_age": {"cache": {"maxAge": "5s"}},
        "cache.semantic": {"cache": {"semantic": True}},
        "request_id": {"requestId": "r"},
    }
    assert unsupported(api, samples[path]) == []
    assert body(api, request(samples[path])) == body(api, request({}))


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_every_field_that_a_body_can_hold_is_headgates_own(api: str) -> None:
    for path, (_, given) in SAMPLES.items():
        if path != "provider_options" and not unsupported(api, given):
            assert set(body(api, request(given))) <= OWN_FIELDS[api]


@pytest.mark.parametrize(
    ("api", "fields", "field"),
    [
        (
            "openai",
            turn({"text": "hi"}, {"toolCall": {"id": "c", "name": "f"}}),
            "messages[0].parts[1].tool_call",
        ),
        ("openai", turn({"blob": {"mediaType": "image/png"}}, role="SYSTEM"), "messages[0].parts[0].blob"),
        ("anthropic", uri(uri="gs://bucket/x"), "messages[0].parts[0].uri.uri"),
        ("openai", uri(mediaType="audio/wav"), "messages[0].parts[0].uri"),
        ("openai", blob(mediaType="video/mp4"), "messages[0].parts[0].blob"),
        ("openai", blob(mediaType="audio/wav", detail="low"), "messages[0].parts[0].blob.detail"),
        ("openai", tool(parametersJson="[]"), "tools[0].parameters_json"),
        ("openai", schema(schemaJson="{}{}"), "response_format.json_schema.schema_json"),
        ("openai", {"topK": 1}, "top_k"),
        ("openai", grammar(), "response_format.grammar"),
        ("anthropic", {"temperature": 1.5}, "temperature"),
        ("anthropic", {"seed": 1}, "seed"),
        ("anthropic", {"choiceCount": 2}, "choice_count"),
        ("anthropic", {"reasoning": {"effort": "minimal"}}, "reasoning.effort"),
        ("anthropic", {"reasoning": {"budgetTokens": 100}}, "reasoning.budget_tokens"),
        (
            "anthropic",
            {"reasoning": {"budgetTokens": 2000}, "maxOutputTokens": 2000},
            "reasoning.budget_tokens",
        ),
        ("anthropic", {"reasoning": {"budgetTokens": 2000, "effort": "none"}}, "reasoning.budget_tokens"),
        ("anthropic", {"responseFormat": {"json": {}}}, "response_format.json"),
        ("anthropic", turn({"text": "hi"}, role="ASSISTANT"), "messages[0].role"),
        ("anthropic", turn({"text": " \n"}), "messages"),
        ("anthropic", {"stop": [".", " \n"]}, "stop[1]"),
        ("anthropic", talk({"toolCall": {"id": "c", "name": "f"}}), "messages[1].parts[0].tool_call"),
        ("anthropic", call(argumentsJson="[1]"), "messages[1].parts[0].tool_call.arguments_json"),
        ("anthropic", blob(mediaType="text/plain", data="/w=="), "messages[0].parts[0].blob.data"),
        ("anthropic", blob(mediaType="audio/wav"), "messages[0].parts[0].blob"),
        ("anthropic", uri(detail="high"), "messages[0].parts[0].uri.detail"),
    ],
)
def test_what_an_api_can_not_express_is_named_to_the_field(api: str, fields: Fields, field: str) -> None:
    assert [each.field for each in unsupported(api, fields)] == [field]


def test_a_server_that_takes_more_than_openai_does_is_asked_for_it() -> None:
    dialect = Dialect(extensions=frozenset({"top_k", "grammar", "structured_outputs"}))
    for fields in ({"topK": 1}, grammar(), grammar(syntax="regex")):
        assert list(openai_fit.misfits(request(fields), dialect)) == []


def test_an_ordinary_request_fits_both_apis() -> None:
    for api in ("openai", "anthropic"):
        assert unsupported(api, HI) == []
