"""The endpoints by which model servers count a prompt's tokens: vLLM's, llama.cpp's and llama-cpp-python's."""

from typing import Any

import msgspec
from aiohttp import web

from simulator.text import count_tokens


def routes() -> list[web.RouteDef]:
    return [web.post("/tokenize", _tokenize), web.post("/extras/tokenize/count", _count)]


async def _tokenize(request: web.Request) -> web.Response:
    """VLLM takes a conversation and tells the count, llama.cpp a text, of which it tells the tokens."""
    asked = msgspec.json.decode(await request.read(), type=dict)
    if "content" in asked:
        return _json({"tokens": list(range(count_tokens(asked["content"])))})
    texts = (each["content"] for each in asked["messages"])
    return _json({"count": sum(count_tokens(text) for text in texts if isinstance(text, str))})


async def _count(request: web.Request) -> web.Response:
    return _json({"count": count_tokens(msgspec.json.decode(await request.read(), type=dict)["input"])})


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
