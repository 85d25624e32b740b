"""Conversations in the form of OpenAI's chat completions."""

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from headgate.chat.v1 import message_pb2
from services.router.providers.json_text import fields_of
from services.router.providers.tool_call_ids import ToolCallIds

ROLES = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
}
_SAYS_NOTHING_OF_THEM = (message_pb2.ROLE_USER, message_pb2.ROLE_SYSTEM)
_NINE = re.compile(r"[A-Za-z0-9]{9}")
_OWN = frozenset(
    {"role", "content", "name", "id", "type", "function", "tool_calls", "tool_call_id", "reasoning_content"}
)
AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
PDF = "application/pdf"


_ANY_ID = re.compile(r".{1,40}", re.DOTALL)
"""What OpenAI's own API takes as the id of a call."""


def messages_of(
    messages: Sequence[message_pb2.Message], provider: str, *, nine_letter_ids: bool = False
) -> list[dict[str, Any]]:
    """Without the reasoning of other providers than `provider`, and with ids of calls that are unique over turns."""
    if all(message.role in _SAYS_NOTHING_OF_THEM for message in messages):
        return [_named(_turn(message), message) for message in messages]
    fits, made = (_NINE, "c{:08}") if nine_letter_ids else (_ANY_ID, "call_{}")
    return list(_Turns(provider, ToolCallIds(messages, fits, made)).of(messages))


class _Turns:
    def __init__(self, provider: str, ids: ToolCallIds) -> None:
        self._provider = provider
        self._ids = ids

    def of(self, messages: Sequence[message_pb2.Message]) -> Iterator[dict[str, Any]]:
        for message in messages:
            if message.role == message_pb2.ROLE_TOOL:
                yield from map(self._result, message.parts)
            elif message.role == message_pb2.ROLE_ASSISTANT:
                turn = self._answer(message.parts)
                if turn.keys() - {"role"}:
                    yield _named(turn, message)
            else:
                yield _named(_turn(message), message)

    def _result(self, part: message_pb2.Part) -> dict[str, Any]:
        """One message for each result. The API has no flag for a failed call, so the text says it."""
        result = part.tool_result
        text = f"Error: {result.text}" if result.is_error else result.text
        return {"role": "tool", "tool_call_id": self._ids.result(), "content": text}

    def _answer(self, parts: Sequence[message_pb2.Part]) -> dict[str, Any]:
        kinds = [(part.WhichOneof("content"), part) for part in parts]
        texts = [part.text for kind, part in kinds if kind == "text"]
        calls = [self._call(part.tool_call) for kind, part in kinds if kind == "tool_call"]
        reasoning = [
            part.reasoning for kind, part in kinds if kind == "reasoning" and self._is_ours(part.reasoning)
        ]
        turn: dict[str, Any] = {"role": "assistant"}
        if texts or calls or reasoning:
            turn["content"] = "".join(texts) if texts or not calls else None
        for each in reasoning:
            put_state(turn, each.state_json)
        if reasoning and "reasoning_details" not in turn:
            turn["reasoning_content"] = "".join(each.text for each in reasoning)
        if calls:
            turn["tool_calls"] = calls
        return turn

    def _call(self, call: message_pb2.ToolCall) -> dict[str, Any]:
        made = {
            "id": self._ids.call(),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_json or "{}"},
        }
        if call.provider == self._provider:
            put_state(made, call.state_json)
        return made

    def _is_ours(self, reasoning: message_pb2.Reasoning) -> bool:
        """Of who is not known, what is neither signed nor encrypted."""
        if reasoning.provider:
            return reasoning.provider == self._provider
        return not (reasoning.signature or reasoning.redacted_data or reasoning.state_json)


def _turn(message: message_pb2.Message) -> dict[str, Any]:
    parts = message.parts
    is_text = len(parts) == 1 and parts[0].WhichOneof("content") == "text"
    return {
        "role": ROLES[message.role],
        "content": parts[0].text if is_text else [_content(part) for part in parts],
    }


def _named(turn: dict[str, Any], message: message_pb2.Message) -> dict[str, Any]:
    if message.name:
        turn["name"] = message.name
    return turn


def put_state(turn: dict[str, Any], state_json: str) -> None:
    """Fields as they came from the provider, of which none replaces one that stands there; lists of several blocks are one."""
    for name, value in (fields_of(state_json) if state_json else {}).items():
        if isinstance(value, list) and isinstance(turn.get(name), list) and name not in _OWN:
            turn[name].extend(value)
        elif name not in turn and name not in _OWN:
            turn[name] = value


def _content(part: message_pb2.Part) -> dict[str, Any]:
    match part.WhichOneof("content"):
        case "uri":
            return _image(part.uri.uri, part.uri.detail)
        case "blob":
            return _blob(part.blob)
        case _:
            return {"type": "text", "text": part.text}


def _blob(blob: message_pb2.Blob) -> dict[str, Any]:
    if blob.media_type in AUDIO_FORMATS:
        # The encoder writes bytes as base64, straight into the body.
        audio = {"data": blob.data, "format": AUDIO_FORMATS[blob.media_type]}
        return {"type": "input_audio", "input_audio": audio}
    if blob.media_type == PDF:
        return {"type": "file", "file": {"filename": "document.pdf", "file_data": _data_url(blob)}}
    return _image(_data_url(blob), blob.detail)


def _image(url: str | msgspec.Raw, detail: str) -> dict[str, Any]:
    image: dict[str, Any] = {"url": url}
    if detail:
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def _data_url(blob: message_pb2.Blob) -> msgspec.Raw:
    """A JSON string. Neither the type, by its pattern, nor base64 holds anything that JSON would escape."""
    data = base64.b64encode(blob.data)
    return msgspec.Raw(b'"data:%b;base64,%b"' % (blob.media_type.encode(), data))
