"""How many tokens a prompt has, by the endpoints that OpenAI-compatible servers have for it; OpenAI's own API has none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from headgate.chat.v1 import message_pb2
from headgate.router.v1 import completion_pb2
from services.router.providers.failures import malformed
from services.router.providers.json_text import UNREADABLE
from services.router.providers.openai_messages import ROLES, messages_of
from services.router.targets.declaration import TokenCounter


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` is below the server, not below its `/v1`."""

    path: str
    body: Callable[[str, completion_pb2.CompletionRequest], dict[str, Any]]
    count: Callable[[dict[str, Any]], Any]


def _conversation(model: str, request: completion_pb2.CompletionRequest) -> dict[str, Any]:
    return {"model": model, "messages": messages_of(request.messages, "")}


def _text(request: completion_pb2.CompletionRequest) -> str:
    """What is said, by whom: a template of the server's adds a few tokens that nobody else knows."""
    turns = [
        f"{ROLES.get(each.role, 'tool')}\n{''.join(map(_said, each.parts))}\n" for each in request.messages
    ]
    tools = [f"{each.name}\n{each.description}\n{each.parameters_json}\n" for each in request.tools]
    return "".join([*tools, *turns])


def _said(part: message_pb2.Part) -> str:
    return part.text or part.tool_result.text or f"{part.tool_call.name}{part.tool_call.arguments_json}"


# Sources: vLLM's and llama.cpp's server documentation, and llama-cpp-python's server.
ENDPOINTS: dict[TokenCounter, Endpoint] = {
    "vllm": Endpoint("tokenize", _conversation, lambda answer: answer.get("count")),
    "llama_cpp": Endpoint(
        "tokenize",
        lambda _, request: {"content": _text(request), "add_special": True},
        lambda answer: len(answer["tokens"]) if isinstance(answer.get("tokens"), list) else None,
    ),
    "llama_cpp_python": Endpoint(
        "extras/tokenize/count",
        lambda _, request: {"input": _text(request)},
        lambda answer: answer.get("count"),
    ),
}


def read_count(endpoint: Endpoint, body: bytes) -> int:
    """:raises ProviderError: MALFORMED, there is no count in it"""
    try:
        count = endpoint.count(msgspec.json.decode(body, type=dict))
    except UNREADABLE as error:
        raise malformed("a count that is not the protocol's", error) from None
    if not isinstance(count, int) or count < 0:
        raise malformed("a count that is no number")
    return count
