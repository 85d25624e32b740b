"""The Anthropic SDK raises for the simulator's refusals what it raises for the API's own."""

from typing import Any

import aiohttp
import anthropic
import pytest
from anthropic import AsyncAnthropic, Omit

from simulator import running

ASK: dict[str, Any] = {
    "model": "sim-small",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "Hello"}],
}
USE = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
TOOL = {"name": "weather", "input_schema": {"type": "object"}}
BAD_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "***"}}


async def refused(client: AsyncAnthropic, **changes: Any) -> anthropic.APIStatusError:
    with pytest.raises(anthropic.APIStatusError) as caught:
        await client.messages.create(**(ASK | changes))
    return caught.value


def kind_of(error: anthropic.APIStatusError) -> Any:
    assert isinstance(error.body, dict)
    assert error.body["type"] == "error"
    return error.body["error"]["type"]


@pytest.mark.parametrize(
    ("model", "error_class", "kind"),
    [
        ("no-such-model", anthropic.NotFoundError, "not_found_error"),
        ("sim-small@status=429,retry-after=2", anthropic.RateLimitError, "rate_limit_error"),
        ("sim-small@status=500", anthropic.InternalServerError, "api_error"),
        ("sim-small@status=503", anthropic.InternalServerError, "api_error"),
        ("sim-small@status=529", anthropic.InternalServerError, "overloaded_error"),
        ("sim-small@status=403", anthropic.PermissionDeniedError, "permission_error"),
    ],
)
async def test_each_status_has_its_class_and_type(
    anthropic_client: AsyncAnthropic,
    model: str,
    error_class: type[anthropic.APIStatusError],
    kind: str,
) -> None:
    error = await refused(anthropic_client, model=model)
    assert isinstance(error, error_class)
    assert kind_of(error) == kind
    assert error.response.headers.get("retry-after") == ("2" if "retry-after" in model else None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "role"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"extra_body": {"temperature": 1.1}}, "temperature"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "max_tokens"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "other"}}, "other"),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "tool_use_id"),
        ({"messages": [{"role": "assistant", "content": [USE]}]}, "tool_use"),
        (
            {"messages": [{"role": "assistant", "content": [USE]}, {"role": "user", "content": "x"}]},
            "tool_result",
        ),
        ({"messages": [{"role": "user", "content": [BAD_IMAGE]}]}, "base64"),
    ],
)
async def test_a_bad_field_is_a_bad_request_that_names_it(
    anthropic_client: AsyncAnthropic,
    changes: dict[str, Any],
    words: str,
) -> None:
    error = await refused(anthropic_client, **changes)
    assert isinstance(error, anthropic.BadRequestError)
    assert kind_of(error) == "invalid_request_error"
    assert words in error.message


async def test_counting_refuses_what_a_message_refuses(anthropic_client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        await anthropic_client.messages.count_tokens(model="no-such-model", messages=ASK["messages"])
    with pytest.raises(anthropic.BadRequestError):
        await anthropic_client.messages.count_tokens(model="sim-small", messages=[])


async def test_a_key_is_asked_for_only_when_it_is_required(anthropic_client: AsyncAnthropic) -> None:
    async with running(require_key=True) as url:
        locked = anthropic_client.with_options(base_url=url)
        await locked.messages.create(**ASK)
        anonymous: Any = {"X-Api-Key": "", "Authorization": Omit()}
        error = await refused(locked.with_options(default_headers=anonymous))
    assert isinstance(error, anthropic.AuthenticationError)
    assert kind_of(error) == "authentication_error"


async def test_the_version_header_is_required(http: aiohttp.ClientSession, base_url: str) -> None:
    async with http.post(f"{base_url}/v1/messages", json=ASK) as response:
        assert response.status == 400
        assert (await response.json())["error"]["message"] == "anthropic-version: header is required"
