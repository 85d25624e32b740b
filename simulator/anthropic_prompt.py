"""An Anthropic request in the simulator's own terms."""

from collections.abc import Iterator

import msgspec

from simulator.answer import Segment, Task, Tool, segments_seed
from simulator.anthropic_schema import (
    AnyChoice,
    Base64Source,
    Block,
    CountRequest,
    DocumentBlock,
    ImageBlock,
    MessageRequest,
    NoChoice,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBetweenTools,
    ThinkingBlock,
    ThinkingDisabled,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
)
from simulator.anthropic_schema import Tool as ToolParam
from simulator.behaviour import split_model
from simulator.text import DOCUMENT_TOKENS, IMAGE_TOKENS

_REASONING_TOKENS = {None: 16, "low": 8, "medium": 16, "high": 32, "xhigh": 48, "max": 64}


def segments_of(asked: CountRequest) -> list[Segment]:
    """Tools, system, messages: the order in which the API caches them. Roles and framing count for nothing."""
    messages = (each for message in asked.messages for each in _contents(message.content))
    end = [Segment("", 0, marked=True)] if asked.cache_control else []
    return [*_before_messages(asked), *messages, *end]


def task_of(asked: MessageRequest, segments: list[Segment]) -> Task:
    model, _ = split_model(asked.model)
    choice = asked.tool_choice
    return Task(
        seed=segments_seed(segments, model),
        asked=_asked(asked),
        tools=_callable_tools(asked),
        must_call=isinstance(choice, AnyChoice | ToolChoice),
        parallel_calls=choice is None or isinstance(choice, NoChoice) or not choice.disable_parallel_tool_use,
        schema=asked.output_config.format.schema
        if asked.output_config and asked.output_config.format
        else None,
        max_tokens=asked.max_tokens,
        stop=tuple(asked.stop_sequences or ()),
        reasoning_tokens=_reasoning_tokens(asked, model),
    )


def _reasoning_tokens(asked: MessageRequest, model: str) -> int:
    return (
        _REASONING_TOKENS[asked.output_config.effort if asked.output_config else None]
        if _thinks(asked, model)
        else 0
    )


def _thinks(asked: MessageRequest, model: str) -> bool:
    match asked.thinking:
        case None:
            return "reasoning" in model
        case ThinkingDisabled():
            return False
        case ThinkingBetweenTools():
            latest = asked.messages[-1].content
            return any(isinstance(block, ToolResultBlock) for block in latest)
        case _:
            return True


def _callable_tools(asked: MessageRequest) -> tuple[Tool, ...]:
    choice = asked.tool_choice
    only = choice.name if isinstance(choice, ToolChoice) else None
    tools = () if isinstance(choice, NoChoice) else (asked.tools or ())
    return tuple(Tool(tool.name, tool.input_schema) for tool in tools if only in (None, tool.name))


def _asked(asked: MessageRequest) -> str:
    latest = asked.messages[-1]
    if latest.role != "user" or isinstance(latest.content, str):
        return latest.content if latest.role == "user" and isinstance(latest.content, str) else ""
    return " ".join(block.text for block in latest.content if isinstance(block, TextBlock))


def _before_messages(asked: CountRequest) -> Iterator[Segment]:
    for tool in asked.tools or ():
        plain = ToolParam(tool.name, tool.input_schema, tool.description)
        yield Segment.of(msgspec.json.encode(plain).decode(), marked=tool.cache_control is not None)
    if asked.system is not None:
        yield from _contents(asked.system)


def _contents(content: str | list[Block] | list[TextBlock]) -> Iterator[Segment]:
    if isinstance(content, str):
        yield Segment.of(content)
    else:
        for block in content:
            yield from _block(block)


def _block(block: Block) -> Iterator[Segment]:
    match block:
        case TextBlock():
            yield Segment.of(block.text, marked=block.cache_control is not None)
        case ImageBlock():
            yield _image(block)
        case DocumentBlock():
            text = block.source.data or block.source.url
            yield Segment(text, DOCUMENT_TOKENS, block.cache_control is not None)
        case ToolUseBlock():
            yield Segment.of(block.name)
            arguments = msgspec.json.encode(block.input).decode()
            yield Segment.of(arguments, marked=block.cache_control is not None)
        case ToolResultBlock():
            yield from _contents(
                list[Block](block.content) if isinstance(block.content, list) else block.content or ""
            )
            if block.cache_control is not None:
                yield Segment("", 0, marked=True)
        case ThinkingBlock():
            yield Segment.of(block.thinking)
        case RedactedThinkingBlock():
            yield Segment.of(block.data)


def _image(block: ImageBlock) -> Segment:
    source = block.source
    text = source.data if isinstance(source, Base64Source) else source.url
    return Segment(text, IMAGE_TOKENS, block.cache_control is not None)
