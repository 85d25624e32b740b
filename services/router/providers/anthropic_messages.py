"""Conversations in the form of Anthropic's Messages API."""

import re
from collections.abc import Iterable, Sequence
from itertools import dropwhile, takewhile
from typing import Any

from headgate.chat.v1 import message_pb2
from services.router.providers.anthropic_citations import cited_blocks
from services.router.providers.json_text import embedded
from services.router.providers.tool_call_ids import ToolCallIds

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF = "application/pdf"
PLAIN = "text/plain"
_ROLES = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
    message_pb2.ROLE_TOOL: "user",
}


_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def system_of(messages: Sequence[message_pb2.Message]) -> list[dict[str, Any]]:
    """The instructions before the conversation, which the API takes apart from it; none when there is no conversation."""
    if all(map(_is_system, messages)):
        return []
    return [block for message in takewhile(_is_system, messages) for block in _texts(message.parts)]


def turns_of(messages: Sequence[message_pb2.Message], provider: str) -> list[dict[str, Any]]:
    """Neighbours of one role become one turn, as results of tools are the user's words here.

    Instructions in the middle stay where they are: moved to the front they would mean something else. Models that don't
    know them refuse the request. Instructions alone are what the user says. Texts of white space are left out, as is reasoning that
    another than `provider` made: the API refuses the ones, and can't check the other.
    """
    if all(map(_is_system, messages)):
        return [
            {"role": "user", "content": [block for message in messages for block in _texts(message.parts)]}
        ]
    blocks = _Blocks(provider, ToolCallIds(messages, _ID, "toolu_{}"))
    turns: list[dict[str, Any]] = []
    for position, message in dropwhile(lambda each: _is_system(each[1]), enumerate(messages)):
        said = [
            block
            for i, part in enumerate(message.parts)
            for block in blocks.of(part, f"messages[{position}].parts[{i}]")
        ]
        role = _ROLES[message.role]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += said
        elif said:
            turns.append({"role": role, "content": said})
    for turn in turns:
        # The API wants them first.
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    if turns and turns[-1]["role"] == "assistant":
        _strip_end(turns[-1]["content"])
    return turns


def _is_system(message: message_pb2.Message) -> bool:
    return message.role == message_pb2.ROLE_SYSTEM


def _texts(parts: Iterable[message_pb2.Part]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": part.text} for part in parts if part.text.strip()]


def _strip_end(content: list[dict[str, Any]]) -> None:
    """What the model is to go on with: the API takes no white space at its end."""
    if content[-1]["type"] == "text":
        content[-1]["text"] = content[-1]["text"].rstrip()


class _Blocks:
    def __init__(self, provider: str, ids: ToolCallIds) -> None:
        self._provider = provider
        self._ids = ids

    def of(self, part: message_pb2.Part, field: str) -> list[dict[str, Any]]:
        match part.WhichOneof("content"):
            case "blob":
                return [_blob(part.blob)]
            case "uri":
                kind = "document" if part.uri.media_type == PDF else "image"
                return [{"type": kind, "source": {"type": "url", "url": part.uri.uri}}]
            case "tool_call":
                return [self._call(part.tool_call, field)]
            case "tool_result":
                return [self._result(part.tool_result)]
            case "reasoning":
                return [_reasoning(part.reasoning)] if self._is_ours(part.reasoning) else []
            case _:
                return cited_blocks(part, self._provider) if part.annotations else _texts([part])

    def _call(self, call: message_pb2.ToolCall, field: str) -> dict[str, Any]:
        arguments = embedded(call.arguments_json or "{}", f"{field}.tool_call.arguments_json")
        return {"type": "tool_use", "id": self._ids.call(), "name": call.name, "input": arguments}

    def _result(self, result: message_pb2.ToolResult) -> dict[str, Any]:
        block: dict[str, Any] = {
            "type": "tool_result",
            "tool_use_id": self._ids.result(),
            "content": result.text,
        }
        if result.is_error:
            block["is_error"] = True
        return block

    def _is_ours(self, reasoning: message_pb2.Reasoning) -> bool:
        """Only what is signed or encrypted can go back; of who is not known, all of it."""
        return bool(reasoning.signature or reasoning.redacted_data) and reasoning.provider in (
            "",
            self._provider,
        )


def _blob(blob: message_pb2.Blob) -> dict[str, Any]:
    if blob.media_type == PLAIN:
        text = {"type": "text", "media_type": PLAIN, "data": blob.data.decode()}
        return {"type": "document", "source": text}
    # The encoder writes bytes as base64, straight into the body.
    source = {"type": "base64", "media_type": blob.media_type, "data": blob.data}
    return {"type": "document" if blob.media_type == PDF else "image", "source": source}


def _reasoning(reasoning: message_pb2.Reasoning) -> dict[str, Any]:
    if reasoning.redacted_data:
        return {"type": "redacted_thinking", "data": reasoning.redacted_data}
    return {"type": "thinking", "thinking": reasoning.text, "signature": reasoning.signature}
