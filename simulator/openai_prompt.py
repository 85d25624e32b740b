"""An OpenAI chat request in the simulator's own terms."""

from collections.abc import Iterator
from typing import Any

import msgspec

from simulator.answer import Segment, Task, Tool, segments_seed
from simulator.behaviour import split_model
from simulator.openai_schema import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    NamedTool,
    Part,
    RefusalPart,
    TextPart,
)
from simulator.text import DOCUMENT_TOKENS, IMAGE_TOKENS

REASONING_TOKENS = {None: 0, "none": 0, "minimal": 4, "low": 8, "medium": 16, "high": 32, "xhigh": 48}
_ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {"answer": {"type": "string"}}}


def segments_of(asked: ChatRequest) -> list[Segment]:
    """Tools, then messages. Roles and framing count for nothing, so that a prompt's tokens are easy to foretell."""
    return [
        *_tool_segments(asked),
        *(part for message in asked.messages for part in _message_segments(message)),
    ]


def task_of(asked: ChatRequest, segments: list[Segment]) -> Task:
    model, _ = split_model(asked.model)
    return Task(
        seed=segments_seed(segments, model, asked.seed),
        asked=_asked(asked.messages[-1]),
        tools=_callable_tools(asked),
        must_call=asked.tool_choice == "required" or isinstance(asked.tool_choice, NamedTool),
        parallel_calls=asked.parallel_tool_calls is not False,
        schema=_schema(asked),
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        stop=stops_of(asked.stop),
        reasoning_tokens=_reasoning_tokens(asked, model),
    )


def stops_of(stop: str | list[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def _reasoning_tokens(asked: ChatRequest, model: str) -> int:
    effort = asked.reasoning_effort
    return REASONING_TOKENS["medium" if effort is None and "reasoning" in model else effort]


def _callable_tools(asked: ChatRequest) -> tuple[Tool, ...]:
    choice = asked.tool_choice
    only = choice.function.name if isinstance(choice, NamedTool) else None
    functions = [tool.function for tool in asked.tools or () if choice != "none"]
    return tuple(
        Tool(each.name, each.parameters or {"type": "object"})
        for each in functions
        if only in (None, each.name)
    )


def _schema(asked: ChatRequest) -> dict[str, Any] | None:
    wanted = asked.response_format
    if wanted is None or wanted.type == "text":
        return None
    named = wanted.json_schema.schema if wanted.json_schema else None
    return named if named is not None else _ANY_OBJECT


def _asked(message: Message) -> str:
    if message.role != "user":
        return ""
    parts = [message.content] if isinstance(message.content, str) else (message.content or [])
    return " ".join(part if isinstance(part, str) else _text(part) for part in parts)


def _text(part: Part) -> str:
    return part.text if isinstance(part, TextPart) else ""


def _tool_segments(asked: ChatRequest) -> Iterator[Segment]:
    for tool in asked.tools or ():
        yield Segment.of(msgspec.json.encode(tool.function).decode())


def _message_segments(message: Message) -> Iterator[Segment]:
    if isinstance(message.content, str):
        yield Segment.of(message.content)
    else:
        yield from (_part_segment(part) for part in message.content or ())
    for call in message.tool_calls or ():
        yield Segment.of(call.function.name)
        yield Segment.of(call.function.arguments)


def _part_segment(part: Part) -> Segment:
    if isinstance(part, ImagePart):
        return Segment(part.image_url.url, IMAGE_TOKENS)
    if isinstance(part, FilePart):
        return Segment(part.file.file_data, DOCUMENT_TOKENS)
    if isinstance(part, AudioPart):
        return Segment(part.input_audio.data, DOCUMENT_TOKENS)
    return Segment.of(part.refusal if isinstance(part, RefusalPart) else part.text)
