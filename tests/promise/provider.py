"""What a provider may count and do: anything within what it was allowed. Written from docs/exactness.md, not from the router."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.router.v1 import completion_pb2
from tests.promise.plans import Knobs, TargetPlan

TOKENS_PER_IMAGE = 48_169
PROVIDERS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"api": "openai"},
    "counting": {"api": "openai", "continuous_usage": True},
    "messages": {"api": "anthropic"},
}
"""Of the router's configuration, each with the times that a run has."""
_LATE = "30ms"
_ANY_NUMBER = 5_000
_COUNTABLE = 1_000_000
_MORE_THAN_ASKED = 310
_FAILURES = ("cut-after", "error-after", "malformed-after", "end-after")
_REFUSALS = ("400", "404", "429", "500", "503")


def most_input(request: completion_pb2.CompletionRequest, target: TargetPlan) -> int | None:
    """The most input tokens that a provider can count; None: nothing bounds them."""
    parts = [part for message in request.messages for part in message.parts]
    blobs = [part.blob for part in parts if part.HasField("blob")]
    if any(not blob.media_type.startswith("image/") for blob in blobs):
        return target.context_window
    images = len(blobs) + sum(part.HasField("uri") for part in parts)
    texts = [request.prompt, *(part.text for part in parts)]
    tools = [text for tool in request.tools for text in (tool.name, tool.description, tool.parameters_json)]
    most = sum(len(text.encode()) for text in texts) + 2 * sum(len(text.encode()) for text in tools)
    most += 64 + 16 * (len(request.messages) or 1)
    most += 64 * len(request.tools) + 1024 * bool(request.tools)
    most += images * (target.most_tokens_per_image or TOKENS_PER_IMAGE)
    return most if target.context_window is None else min(most, target.context_window)


@dataclass(frozen=True, slots=True)
class Manner:
    """Of the providers of one run. `fails`: how likely an attempt is not to be answered whole; `greedy`: they take all that
    they may; `slow`: most answers take seconds.
    """

    fails: float
    greedy: bool
    slow: bool


def draw_behaviour(
    rng: random.Random, request: completion_pb2.CompletionRequest, target: TargetPlan, manner: Manner
) -> Knobs:
    most = most_input(request, target)
    most = min(_COUNTABLE, _ANY_NUMBER if most is None else most)
    if manner.greedy:
        return (("count-input", str(most)), ("tokens", str(_MORE_THAN_ASKED)))
    knobs = {"count-input": str(rng.choice([most, most, rng.randint(1, most), 1])), **_output(rng)}
    if rng.random() < 0.3:
        knobs["cached"] = str(rng.randint(0, 400))
    if rng.random() < 0.3:
        knobs["tier"] = rng.choice(["default", "flex", "priority", "standard"])
    if (usage := rng.choice(["", "", "", "late-usage", "usage-twice", "no-usage"])) != "":
        knobs[usage] = _LATE if usage == "late-usage" else "true"
    if manner.slow and rng.random() < 0.8:
        knobs["gap"], knobs["tokens"] = "20ms", str(rng.randint(50, 200))
    elif rng.random() < 0.3:
        knobs["gap"] = "4ms"
    if rng.random() < manner.fails:
        knobs |= _failure(rng)
    return tuple(knobs.items())


def _output(rng: random.Random) -> dict[str, str]:
    """Texts are written token by token; hidden reasoning is counted and costs nothing to send. The request bounds both."""
    knobs = {"tokens": str(rng.choice([0, 1, rng.randint(2, 40), _MORE_THAN_ASKED]))}
    if rng.random() < 0.3:
        knobs["reasoning"] = str(rng.choice([1, 30, 400]))
        knobs["hide-reasoning"] = rng.choice(["true", "false"])
    return knobs


def _failure(rng: random.Random) -> dict[str, str]:
    kind = rng.random()
    if kind < 0.45:
        return {rng.choice(_FAILURES): str(rng.choice([0, 1, rng.randint(0, 30)]))}
    if kind < 0.85:
        return {"status": rng.choice(_REFUSALS)}
    if kind < 0.95:
        return {"garbage": "true"}
    return {"hang-after": str(rng.choice([0, 3]))} if kind < 0.98 else {"hang": "true"}
