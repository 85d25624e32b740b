"""The answers of OpenAI-compatible servers as they are read; and, of those that differ, what they mean."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from headgate.router.v1 import completion_pb2
from services.router.providers.halves import Halves
from services.router.providers.json_text import NOTHING
from services.router.providers.openai_usage import Usage
from services.router.providers.tolerance import json_text

Place = Annotated[int, Meta(ge=0, lt=2**31)]
"""Of a choice or a tool call, as the server counts them."""


class Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct, gc=False):
    index: Place | None = None
    id: str | None = None
    function: Function | None = None


class Message(Struct, gc=False):
    """A `delta` of a stream or the `message` of a whole answer."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """What some servers call `reasoning_content`; those that send both say the same in them."""
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    extra_content: msgspec.Raw = NOTHING


class TokenLogprob(Struct, gc=False):
    token: str
    logprob: float
    top_logprobs: list["TokenLogprob"] = []


class Logprobs(Struct, gc=False):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Choice(Struct, gc=False):
    index: Place = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Answer(Struct, gc=False):
    """A chunk of a stream, or a whole answer."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NOTHING
    service_tier: Any = None


class SeldomCall(Struct, gc=False):
    extra_content: msgspec.Raw = NOTHING
    """Gemini's thought signature, and what else a server wants back with the call."""
    provider_specific_fields: msgspec.Raw = NOTHING
    """LiteLLM's name for it."""

    def state(self) -> str:
        return state_of(self.extra_content, self.provider_specific_fields)


class SeldomMessage(Struct, gc=False):
    function_call: Function | None = None
    """The one call of servers that know no more than one."""
    tool_calls: list[SeldomCall] | None = None
    extra_content: msgspec.Raw = NOTHING
    reasoning_details: list[Any] | None = None
    annotations: list[Any] | None = None


class SeldomChoice(Struct, gc=False):
    index: Place = 0
    delta: SeldomMessage | None = None
    message: SeldomMessage | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NOTHING


class Groq(Struct, gc=False):
    usage: Usage | None = None


class Seldom(Struct, gc=False):
    """What few servers say, and none beside a piece of text: looked for apart, as each field of `Answer` costs each piece."""

    choices: list[SeldomChoice] | None = None
    x_groq: Groq | None = None
    citations: list[Any] | None = None
    search_results: list[Any] | None = None
    """What Perplexity rests an answer on: addresses, and the same with titles."""


def state_of(extra_content: msgspec.Raw, provider_specific_fields: msgspec.Raw) -> str:
    """The fields that came, as an object; empty when none did."""
    told = {
        "extra_content": bytes(extra_content),
        "provider_specific_fields": bytes(provider_specific_fields),
    }
    kept = {name: msgspec.Raw(raw) for name, raw in told.items() if raw not in (b"", b"null", b"{}")}
    return msgspec.json.encode(kept).decode() if kept else ""


def join(said: Message, choice: int, halves: Halves) -> None:
    """Texts whose characters may have come in two halves."""
    said.content = halves.join(("text", choice), said.content or "")
    said.reasoning_content = halves.join(
        ("reasoning", choice), said.reasoning_content or said.reasoning or ""
    )
    said.reasoning = None
    said.refusal = halves.join(("refusal", choice), said.refusal or "")


def logprobs_of(tokens: list[TokenLogprob] | None) -> list[completion_pb2.TokenLogprob]:
    return [
        completion_pb2.TokenLogprob(
            token=each.token, logprob=each.logprob, alternatives=logprobs_of(each.top_logprobs)
        )
        for each in tokens or ()
    ]


def prepare(answer: dict[str, Any]) -> None:
    """Texts out of whatever stands where a text should be."""
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else [choices]:
        if isinstance(choice, dict):
            for said in (choice.get("delta"), choice.get("message")):
                if isinstance(said, dict):
                    _prepare_message(said)


def _prepare_message(said: dict[str, Any]) -> None:
    content = said.get("content")
    if content is not None and not isinstance(content, str):
        texts = {"content": "", "reasoning_content": "", "refusal": ""}
        _take_parts(content, texts)
        said.update({name: text for name, text in texts.items() if text or name == "content"})
    for name in ("reasoning_content", "reasoning", "refusal"):
        if isinstance(said.get(name), list | dict):
            said[name] = _text_of(said[name])
    calls = said.get("tool_calls")
    for call in [*(calls if isinstance(calls, list) else [calls]), {"function": said.get("function_call")}]:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), dict | list):
            function["arguments"] = json_text(function["arguments"])


def _take_parts(content: Any, texts: dict[str, str]) -> None:
    for part in content if isinstance(content, list) else [content]:
        if not isinstance(part, dict):
            texts["content"] += part if isinstance(part, str) else json_text(part)
        elif (kind := part.get("type")) in ("thinking", "reasoning"):
            texts["reasoning_content"] += _text_of(part)
        elif kind == "refusal":
            texts["refusal"] += _text_of(part)
        elif kind is None and not isinstance(part.get("text"), str):
            # A server that read the JSON that its model wrote.
            texts["content"] += json_text(part)
        else:
            texts["content"] += _text_of(part)


def _text_of(part: Any) -> str:
    """Of a text, of an object with one, or of several."""
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "".join(map(_text_of, part))
    if not isinstance(part, dict):
        return ""
    return next(
        (
            _text_of(part[name])
            for name in ("text", "thinking", "reasoning", "refusal", "content")
            if part.get(name)
        ),
        "",
    )
