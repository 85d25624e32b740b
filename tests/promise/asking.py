"""Draws what callers ask: texts, media, tools, tiers, several answers, the cache on and off."""

import random

from headgate.chat.v1 import message_pb2
from headgate.router.v1 import completion_pb2
from tests.promise.plans import RunPlan

_WORDS = ["one", "two", "über", "жизнь", "七つ", "🙂", "a\nb", '"quoted"', "1234567890"]
_SCHEMA = '{"type":"object","properties":{"city":{"type":"string"},"näme":{"type":"string"}}}'
_MEDIA = ["image/png", "image/jpeg", "application/pdf", "audio/wav"]


def draw_request(rng: random.Random, plan: RunPlan, name: str) -> completion_pb2.CompletionRequest:
    """`name` tells the provider, and the ledger, which of the requests it is."""
    request = completion_pb2.CompletionRequest(
        model=rng.choice(list(plan.models)),
        end_user_id=name,
        labels={"run": plan.organization_id, "team": rng.choice(["red", "blue"])},
    )
    if rng.random() < 0.75:
        request.max_output_tokens = rng.choice([1, 5, rng.randint(6, 60), 150])
    _say(rng, request)
    if rng.random() < 0.2:
        request.service_tier = rng.choice(["flex", "priority", "default", "auto"])
    if rng.random() < 0.15:
        request.choice_count = rng.randint(2, 3)
    if rng.random() < 0.15:
        request.fallback_models.append(next(model for model in plan.models if model != request.model))
    _cache(rng, request)
    return request


def _say(rng: random.Random, request: completion_pb2.CompletionRequest) -> None:
    kind = rng.random()
    if kind < 0.5:
        # A few texts come again and again, as only they can come from the cache.
        request.prompt = rng.choice(
            ["Hello", "Tell me more", " ".join(rng.choices(_WORDS, k=rng.randint(1, 40)))]
        )
        return
    message = request.messages.add(role=message_pb2.ROLE_USER)
    message.parts.add(text=" ".join(rng.choices(_WORDS, k=rng.randint(1, 10))))
    if kind < 0.75:
        for _ in range(rng.randint(1, 2)):
            blob = message_pb2.Blob(media_type=rng.choice(_MEDIA), data=rng.randbytes(rng.randint(1, 60)))
            message.parts.add(blob=blob)
        return
    request.tools.add(name="weather", description="The weather.\nOf a place.", parameters_json=_SCHEMA)
    if rng.random() < 0.5:
        request.tools.add(name="clock")
    if rng.random() < 0.5:
        message.parts[0].text += " call:weather"


def _cache(rng: random.Random, request: completion_pb2.CompletionRequest) -> None:
    modes = [completion_pb2.CACHE_MODE_ON, completion_pb2.CACHE_MODE_OFF, completion_pb2.CACHE_MODE_REFRESH]
    if rng.random() < 0.6:
        request.cache.mode = rng.choice([modes[0], *modes])
    elif rng.random() < 0.5:
        request.temperature = 0
