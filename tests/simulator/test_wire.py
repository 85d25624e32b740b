"""The bytes of a stream, as the APIs frame them: what an SDK forgives, another client may not."""

import json
from typing import Any

import aiohttp

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


async def lines_of(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> list[str]:
    async with http.post(url, json=body, headers={"anthropic-version": "2023-06-01"}) as response:
        assert response.content_type == "text/event-stream"
        return (await response.text()).split("\n\n")


async def test_a_chat_stream_is_data_lines_that_end_with_done(
    http: aiohttp.ClientSession, base_url: str
) -> None:
    body = {"model": "sim-small@tokens=2", "messages": HELLO, "stream": True}
    *events, done, rest = await lines_of(http, f"{base_url}/v1/chat/completions", body)
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert [list(delta) for delta in deltas[1:]] == [["content"], ["content"], []]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert not any("usage" in chunk for chunk in chunks)


async def test_a_completion_stream_is_data_lines_that_end_with_done(
    http: aiohttp.ClientSession, base_url: str
) -> None:
    options = {"include_usage": True}
    body = {"model": "sim-small@tokens=2", "prompt": "x", "stream": True, "stream_options": options}
    *events, done, rest = await lines_of(http, f"{base_url}/v1/completions", body)
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert [len(chunk["choices"]) for chunk in chunks] == [1, 1, 1, 0]
    assert [chunk["usage"] is None for chunk in chunks] == [True, True, True, False]


async def test_a_message_stream_names_each_event_as_its_data_does(
    http: aiohttp.ClientSession, base_url: str
) -> None:
    body = {"model": "sim-small@tokens=1", "messages": HELLO, "max_tokens": 9, "stream": True}
    *events, rest = await lines_of(http, f"{base_url}/v1/messages", body)
    assert rest == ""
    names, data = zip(*(event.split("\n") for event in events), strict=True)
    parsed = [json.loads(line.removeprefix("data: ")) for line in data]
    assert [name.removeprefix("event: ") for name in names] == [each["type"] for each in parsed]
    assert [each["type"] for each in parsed] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert parsed[0]["message"]["content"] == []
    assert parsed[0]["message"]["stop_reason"] is None
    assert parsed[5]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert parsed[5]["usage"]["output_tokens"] == 1
