"""Of what a provider says, only a whole answer is told again: no refusal, and nothing that ended in another way."""

import json
from typing import Any

import pytest

from headgate.common.v1 import cache_status_pb2
from headgate.router.v1 import completion_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled
from tests.support.in_process import InProcessSuite
from tests.support.raw_http import DONE, EVENTS, HI, STOP, answering, chunk, event

HIT, MISS = cache_status_pb2.CACHE_STATUS_EXACT, cache_status_pb2.CACHE_STATUS_MISS
NO = chunk(delta={"refusal": "I can't help with that."})
CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}


def ending(reason: str) -> list[bytes]:
    return [HI, chunk(delta={}, finish_reason=reason), DONE]


ANSWERS = {
    "whole": [HI, STOP, DONE],
    "calls": [chunk(delta={"tool_calls": [CALL]}), *ending("tool_calls")[1:]],
    "refusal": [NO, STOP, DONE],
    "refusal-in-mid-answer": [HI, NO, STOP, DONE],
    "filtered": ending("content_filter"),
    "cut": ending("length"),
    "unknown": ending("safety"),
    "new-word": ending("no_such_reason"),
}
SAYS_SO = {"cache": {"mode": "CACHE_MODE_ON"}}
KEPT = {"whole", "calls"}


def section(url: str) -> dict[str, Any]:
    return {
        "providers": {"said": {"api": "openai", "base_url": url}},
        "targets": {name: {"provider": "said", "model": name} for name in ANSWERS},
        "models": {name: {"targets": [name]} for name in ANSWERS},
    }


def served(request: bytes) -> tuple[bytes, ...]:
    if not request.startswith(b"POST"):
        return ()
    body = json.loads(request.partition(b"\r\n\r\n")[2])
    usage = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    *said, done = ANSWERS[body["model"]]
    return (EVENTS + b"connection: close\r\n\r\n", *said, usage, done)


async def status_of(suite: InProcessSuite, model: str, **fields: Any) -> int:
    request = completion_pb2.CompletionRequest(model=model, prompt="hi", **fields)
    events = [event async for event in suite.router.StreamComplete(request, metadata=suite.metadata)]
    await all_settled(suite)
    return events[0].started.cache_status


@pytest.mark.parametrize(
    ("fields", "kept"), [(SAYS_SO, KEPT), ({"temperature": 0}, {"whole"}), ({"seed": 7}, {"whole"})]
)
async def test_only_whole_answers_are_told_again(
    start_router: StartRouter, fields: dict[str, Any], kept: set[str]
) -> None:
    async with answering(served) as (url, heard), start_router(section(url)) as suite:
        for model in ANSWERS:
            assert await status_of(suite, model, **fields) == MISS
        told_again = {model for model in ANSWERS if await status_of(suite, model, **fields) == HIT}
        assert told_again == kept
        asked = [request for request in heard if request.startswith(b"POST")]
        assert len(asked) == 2 * len(ANSWERS) - len(kept)


async def test_a_refresh_does_not_put_a_refusal_in_the_place_of_an_answer(start_router: StartRouter) -> None:
    """What the provider says changes between the two."""
    said = [ANSWERS["whole"]]

    def changing(request: bytes) -> tuple[bytes, ...]:
        return (EVENTS + b"connection: close\r\n\r\n", *said[-1])

    async with answering(changing) as (url, _), start_router(section(url)) as suite:
        assert await status_of(suite, "whole", **SAYS_SO) == MISS
        said.append(ANSWERS["refusal"])
        assert await status_of(suite, "whole", cache={"mode": "CACHE_MODE_REFRESH"}) == MISS
        assert await status_of(suite, "whole", **SAYS_SO) == HIT


def with_tools(*names: str, schema: str = '{"type":"object"}') -> dict[str, Any]:
    return {"tools": [{"name": name, "parameters_json": schema} for name in names], **SAYS_SO}


async def test_tools_in_another_order_ask_anew(start_router: StartRouter) -> None:
    async with answering(served) as (url, _), start_router(section(url)) as suite:
        assert await status_of(suite, "whole", **with_tools("f", "g")) == MISS
        assert await status_of(suite, "whole", **with_tools("f", "g")) == HIT
        assert await status_of(suite, "whole", **with_tools("g", "f")) == MISS
        spaced = with_tools("f", "g", schema='{"type": "object"}')
        assert await status_of(suite, "whole", **spaced) == MISS


async def test_who_asks_and_how_it_is_accounted_is_no_part_of_the_question(start_router: StartRouter) -> None:
    async with answering(served) as (url, _), start_router(section(url)) as suite:
        one = {"labels": {"a": "1", "b": "2"}, "end_user_id": "u", "request_id": "r"}
        other = {"labels": {"b": "2", "a": "3"}, "end_user_id": "v", "request_id": "s"}
        assert await status_of(suite, "whole", **SAYS_SO, **one) == MISS
        assert await status_of(suite, "whole", **SAYS_SO, **other) == HIT
