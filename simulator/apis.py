"""The endpoints that serve tokens, and how each is decoded, answered and refused."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from simulator import anthropic_messages, openai_usage
from simulator.anthropic_messages import reply_to_count, reply_to_message
from simulator.anthropic_schema import CountRequest, MessageRequest
from simulator.errors import ApiError, anthropic_body, openai_body
from simulator.exchange import Api
from simulator.openai_chat import reply_to_chat
from simulator.openai_completions import reply_to_completion
from simulator.openai_embeddings import reply_to_embedding
from simulator.openai_schema import ChatRequest, CompletionRequest, EmbeddingRequest
from simulator.reply import Context, Reply


def check_openai_key(headers: Mapping[str, str], *, require_key: bool) -> None:
    """:raises ApiError: 401 without a key"""
    if require_key and not _bearer(headers):
        raise ApiError(
            401, "You didn't provide an API key.", code="invalid_api_key", type="invalid_request_error"
        )


def check_anthropic_headers(headers: Mapping[str, str], *, require_key: bool) -> None:
    """:raises ApiError: 401 without a key, 400 without a version"""
    if require_key and not (headers.get("x-api-key") or _bearer(headers)):
        raise ApiError(401, "x-api-key header is required")
    if "anthropic-version" not in headers:
        raise ApiError(400, "anthropic-version: header is required")


def _bearer(headers: Mapping[str, str]) -> str:
    return headers.get("Authorization", "").removeprefix("Bearer").strip()


ReplyTo = Callable[[Any, Context], Reply]


def _openai(name: str, request: type, reply: ReplyTo) -> Api:
    return Api(
        name=name,
        decoder=msgspec.json.Decoder(request),
        reply=reply,
        error_body=openai_body,
        error_event=openai_usage.error_event,
        malformed_event=openai_usage.MALFORMED_EVENT,
        check_headers=check_openai_key,
        id_header="x-request-id",
    )


def _anthropic(name: str, request: type, reply: ReplyTo) -> Api:
    return Api(
        name=name,
        decoder=msgspec.json.Decoder(request),
        reply=reply,
        error_body=anthropic_body,
        error_event=anthropic_messages.error_event,
        malformed_event=anthropic_messages.MALFORMED_EVENT,
        check_headers=check_anthropic_headers,
        id_header="request-id",
    )


BY_PATH = {
    "/v1/chat/completions": _openai("openai.chat", ChatRequest, reply_to_chat),
    "/v1/completions": _openai("openai.completions", CompletionRequest, reply_to_completion),
    "/v1/embeddings": _openai("openai.embeddings", EmbeddingRequest, reply_to_embedding),
    "/v1/messages": _anthropic("anthropic.messages", MessageRequest, reply_to_message),
    "/v1/messages/count_tokens": _anthropic("anthropic.count_tokens", CountRequest, reply_to_count),
}
