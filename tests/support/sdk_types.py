"""Whether a body is one that the official SDKs' types accept."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

_TYPES: Mapping[str, TypeAdapter[Any]] = {
    "openai": TypeAdapter(CompletionCreateParamsNonStreaming),
    "anthropic": TypeAdapter(MessageCreateParamsNonStreaming),
}


def check_body(api: str, body: bytes) -> None:
    """:raises ValidationError: the SDK's types have no such body"""
    _look_at_all(_TYPES[api].validate_python(json.loads(body)))


def _look_at_all(value: Any) -> None:
    """The types have iterators, which pydantic checks when they are walked through."""
    if isinstance(value, Mapping):
        for each in value.values():
            _look_at_all(each)
    elif isinstance(value, Iterator | list):
        for each in value:
            _look_at_all(each)
