"""The OpenAI SDK raises for the simulator's refusals what it raises for the API's own."""

from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from simulator import running

ASK: dict[str, Any] = {"model": "sim-small", "messages": [{"role": "user", "content": "Hello"}]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "weather"}}


async def refused(client: AsyncOpenAI, **changes: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(**(ASK | changes))
    return caught.value


async def test_an_unknown_model_is_not_found(openai_client: AsyncOpenAI) -> None:
    error = await refused(openai_client, model="no-such-model")
    assert isinstance(error, openai.NotFoundError)
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    with pytest.raises(openai.NotFoundError):
        await openai_client.models.retrieve("no-such-model")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "pirate", "content": "Arr"}]}, "messages[0].role"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
            "tool_choice",
        ),
        ({"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "x"}]}, "messages.[0].role"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALL]}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.[0].content"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"model": "sim-small@speed=3"}, "model"),
    ],
)
async def test_a_bad_field_is_a_bad_request_that_names_it(
    openai_client: AsyncOpenAI,
    changes: dict[str, Any],
    param: str,
) -> None:
    error = await refused(openai_client, **changes)
    assert isinstance(error, openai.BadRequestError)
    assert error.type == "invalid_request_error"
    assert error.param == param


@pytest.mark.parametrize(
    "url", ["ftp://example.com/a.png", "data:text/plain;base64,aGk=", "data:image/png;base64,***"]
)
async def test_a_bad_image_is_a_bad_request(openai_client: AsyncOpenAI, url: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    error = await refused(openai_client, messages=[{"role": "user", "content": content}])
    assert error.status_code == 400


async def test_a_missing_field_is_named(openai_client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Missing required parameter: 'messages'") as caught:
        await openai_client.post("/chat/completions", body={"model": "sim-small"}, cast_to=object)
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "body", [b"{", b'{"model": "\xff", "messages": []}', b"[]", b'{"tools":' + b"[" * 100_000]
)
async def test_a_body_that_is_not_the_apis_json_is_a_bad_request(
    openai_client: AsyncOpenAI, body: bytes
) -> None:
    with pytest.raises(openai.BadRequestError):
        await openai_client.post("/chat/completions", content=body, cast_to=object)


async def test_a_schema_that_makes_no_sense_is_a_bad_request(openai_client: AsyncOpenAI) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "loop", "schema": {"$ref": "#"}}}
    error = await refused(openai_client, response_format=wanted)
    assert (error.status_code, error.code) == (400, "invalid_json_schema")


async def test_an_empty_text_has_no_embedding(openai_client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        await openai_client.embeddings.create(model="sim-embedding", input="")
    with pytest.raises(openai.BadRequestError):
        await openai_client.embeddings.create(model="sim-embedding", input=[])


async def test_a_rate_limit_says_when_to_come_back(openai_client: AsyncOpenAI) -> None:
    error = await refused(openai_client, model="sim-small@status=429,retry-after=2")
    assert isinstance(error, openai.RateLimitError)
    assert error.response.headers["retry-after"] == "2"
    assert error.code == "rate_limit_exceeded"


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_error_is_an_internal_server_error(openai_client: AsyncOpenAI, status: int) -> None:
    error = await refused(openai_client, model=f"sim-small@status={status}")
    assert isinstance(error, openai.InternalServerError)
    assert error.status_code == status


async def test_a_key_is_asked_for_only_when_it_is_required(openai_client: AsyncOpenAI) -> None:
    async with running(require_key=True) as url:
        locked = openai_client.with_options(base_url=f"{url}/v1")
        await locked.chat.completions.create(**ASK)
        anonymous = locked.with_options(default_headers={"Authorization": ""})
        assert isinstance(await refused(anonymous), openai.AuthenticationError)
        with pytest.raises(openai.AuthenticationError):
            await anonymous.models.list()


async def test_a_model_that_the_operator_adds_is_served(openai_client: AsyncOpenAI) -> None:
    async with running(models=("gpt-like",)) as url:
        answer = await openai_client.with_options(base_url=f"{url}/v1").chat.completions.create(
            model="gpt-like",
            messages=[{"role": "user", "content": "Hello"}],
        )
    assert answer.model == "gpt-like"
