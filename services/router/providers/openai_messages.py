"""Conversations in the form of OpenAI's chat completions."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from headgate.chat.v1 import message_pb2

ROLES = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
}
AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
PDF = "application/pdf"


def messages_of(messages: Iterable[message_pb2.Message]) -> list[dict[str, Any]]:
    return [turn for message in messages for turn in _turns(message)]


def _turns(message: message_pb2.Message) -> Iterator[dict[str, Any]]:
    parts = message.parts
    if message.role == message_pb2.ROLE_TOOL:
        yield from _results(parts)
        return
    turn: dict[str, Any] = {"role": ROLES[message.role]}
    if len(parts) == 1 and parts[0].WhichOneof("content") == "text":
        turn["content"] = parts[0].text
    elif message.role == message_pb2.ROLE_ASSISTANT:
        _put_answer(parts, turn)
    else:
        turn["content"] = [_content(part) for part in parts]
    if message.name:
        turn["name"] = message.name
    yield turn


def _results(parts: Sequence[message_pb2.Part]) -> Iterator[dict[str, Any]]:
    """One message for each result. The API has no flag for a failed call, so the text says it."""
    for part in parts:
        result = part.tool_result
        text = f"Error: {result.text}" if result.is_error else result.text
        yield {"role": "tool", "tool_call_id": result.tool_call_id, "content": text}


def _put_answer(parts: Sequence[message_pb2.Part], turn: dict[str, Any]) -> None:
    kinds = [(part.WhichOneof("content"), part) for part in parts]
    texts = [part.text for kind, part in kinds if kind == "text"]
    calls = [part.tool_call for kind, part in kinds if kind == "tool_call"]
    reasoning = [part.reasoning.text for kind, part in kinds if kind == "reasoning"]
    turn["content"] = "".join(texts) if texts or not calls else None
    if reasoning:
        turn["reasoning_content"] = "".join(reasoning)
    if calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json or "{}"},
            }
            for call in calls
        ]


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
