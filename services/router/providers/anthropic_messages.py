"""Conversations in the form of Anthropic's Messages API."""

from collections.abc import Iterable, Sequence
from itertools import dropwhile, takewhile
from typing import Any

from headgate.chat.v1 import message_pb2
from services.router.providers.json_text import embedded

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF = "application/pdf"
PLAIN = "text/plain"
_ROLES = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
    message_pb2.ROLE_TOOL: "user",
}


def system_of(messages: Iterable[message_pb2.Message]) -> list[dict[str, Any]]:
    """The instructions before the conversation, which the API takes apart from it."""
    leading = takewhile(_is_system, messages)
    return [{"type": "text", "text": part.text} for message in leading for part in message.parts]


def turns_of(messages: Sequence[message_pb2.Message]) -> list[dict[str, Any]]:
    """Neighbours of one role become one turn, as results of tools are the user's words here.

    Instructions in the middle stay where they are: moved to the front they would mean something else. Models that don't
    know them refuse the request.
    """
    turns: list[dict[str, Any]] = []
    for position, message in dropwhile(lambda each: _is_system(each[1]), enumerate(messages)):
        blocks = [_block(part, f"messages[{position}].parts[{i}]") for i, part in enumerate(message.parts)]
        role = _ROLES[message.role]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _is_system(message: message_pb2.Message) -> bool:
    return message.role == message_pb2.ROLE_SYSTEM


def _block(part: message_pb2.Part, field: str) -> dict[str, Any]:
    match part.WhichOneof("content"):
        case "blob":
            return _blob(part.blob)
        case "uri":
            kind = "document" if part.uri.media_type == PDF else "image"
            return {"type": kind, "source": {"type": "url", "url": part.uri.uri}}
        case "tool_call":
            return _call(part.tool_call, field)
        case "tool_result":
            return _result(part.tool_result)
        case "reasoning":
            return _reasoning(part.reasoning)
        case _:
            return {"type": "text", "text": part.text}


def _blob(blob: message_pb2.Blob) -> dict[str, Any]:
    if blob.media_type == PLAIN:
        text = {"type": "text", "media_type": PLAIN, "data": blob.data.decode()}
        return {"type": "document", "source": text}
    # The encoder writes bytes as base64, straight into the body.
    source = {"type": "base64", "media_type": blob.media_type, "data": blob.data}
    return {"type": "document" if blob.media_type == PDF else "image", "source": source}


def _call(call: message_pb2.ToolCall, field: str) -> dict[str, Any]:
    arguments = embedded(call.arguments_json or "{}", f"{field}.tool_call.arguments_json")
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _result(result: message_pb2.ToolResult) -> dict[str, Any]:
    block: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": result.tool_call_id,
        "content": result.text,
    }
    if result.is_error:
        block["is_error"] = True
    return block


def _reasoning(reasoning: message_pb2.Reasoning) -> dict[str, Any]:
    if reasoning.redacted_data:
        return {"type": "redacted_thinking", "data": reasoning.redacted_data}
    return {"type": "thinking", "thinking": reasoning.text, "signature": reasoning.signature}
