"""Every shape of an answer through the whole router: one attempt, its text, its bill, and a target that stays healthy."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from headgate.common.v1 import outcome_pb2, usage_pb2
from headgate.router.v1 import completion_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled
from tests.support.in_process import InProcessSuite
from tests.support.raw_http import EVENTS, answering
from tests.support.shapes import anthropic, openai
from tests.support.shapes.shape import Shape

JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
SHAPES: Mapping[str, Mapping[str, Shape]] = {"openai": openai.SHAPES, "anthropic": anthropic.SHAPES}
OUTCOMES = {"LENGTH": outcome_pb2.OUTCOME_TRUNCATED, "CONTENT_FILTER": outcome_pb2.OUTCOME_FILTERED}
PROVIDER, ESTIMATED = usage_pb2.USAGE_SOURCE_PROVIDER, usage_pb2.USAGE_SOURCE_ESTIMATED


def section(api: str, url: str, shapes: list[Shape]) -> dict[str, Any]:
    names = [f"shape-{at}" for at in range(len(shapes))]
    good = {"good": {"provider": "sim", "model": "sim-small@tokens=2"}}
    return {
        "providers": {
            "odd": {"api": api, "base_url": url},
            "sim": {"api": "openai", "base_url": "simulator:/v1"},
        },
        "targets": {name: {"provider": "odd", "model": name} for name in names} | good,
        "models": {name: {"targets": [name, "good"]} for name in names},
    }


@pytest.mark.parametrize("api", SHAPES)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_every_shape(start_router: StartRouter, api: str, streamed: bool) -> None:
    shapes = [shape for shape in SHAPES[api].values() if (shape.stream if streamed else shape.body)]

    def answer(request: bytes) -> tuple[bytes, ...]:
        if not request.startswith(b"POST"):
            return ()
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        shape = shapes[int(body["model"].removeprefix("shape-"))]
        return (EVENTS + b"\r\n" + shape.stream,) if streamed else (JSON + shape.body,)

    async with answering(answer) as (url, _), start_router(section(api, url, shapes)) as suite:
        for at, shape in enumerate(shapes):
            await check(suite, f"shape-{at}", shape, streamed=streamed)
        await all_settled(suite)
        entries = {entry.record.attempt_id: entry for entry in await suite.entries()}
    assert len(entries) == sum(1 if shape.failure is None else 2 for shape in shapes)


async def check(suite: InProcessSuite, model: str, shape: Shape, *, streamed: bool) -> None:
    request = completion_pb2.CompletionRequest(
        model=model, prompt="hi", max_output_tokens=1000, choice_count=shape.choice_count
    )
    if streamed:
        events = [each async for each in suite.router.StreamComplete(request, metadata=suite.metadata)]
        text = "".join(event.delta.text for event in events)
        finished = events[-1].finished
    else:
        whole = await suite.router.Complete(request, metadata=suite.metadata)
        text = "".join(part.text for choice in whole.choices for part in choice.message.parts)
        finished = whole.finished
    outcomes = [attempt.outcome for attempt in finished.attempts]
    if shape.failure is not None:
        assert outcomes == [outcome_pb2.OUTCOME_FAILED, outcome_pb2.OUTCOME_COMPLETE], (model, shape)
        assert shape.failure in finished.attempts[0].error
        return
    assert outcomes == [OUTCOMES.get(shape.finish, outcome_pb2.OUTCOME_COMPLETE)], (model, shape)
    assert "".join(sorted(text)) == "".join(sorted(shape.text)), (model, shape)
    (usage,) = [attempt.usage for attempt in finished.attempts]
    told = shape.usage or (0, 0, 0)
    if all(told[:2]):
        assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens) == told, (
            model,
            shape,
        )
    else:
        assert usage.source == ESTIMATED, (model, shape)
        assert usage.input_tokens > 0
        assert usage.output_tokens > 0
    health = suite.pipeline._failover._health[model]
    assert health.state == "healthy", (model, health)
    assert not health.consecutive_failures
