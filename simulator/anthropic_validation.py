"""What an Anthropic request must satisfy beyond its shape."""

import base64
import binascii

from simulator.anthropic_schema import (
    Base64Source,
    CountRequest,
    ImageBlock,
    Message,
    MessageRequest,
    ThinkingEnabled,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
)
from simulator.errors import ApiError


def validate_message(asked: MessageRequest) -> None:
    """:raises ApiError: 400, worded as the API does and naming the field"""
    validate_count(asked)
    if isinstance(asked.thinking, ThinkingEnabled) and asked.thinking.budget_tokens >= asked.max_tokens:
        raise ApiError(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")


def validate_count(asked: CountRequest) -> None:
    """:raises ApiError: 400, worded as the API does and naming the field"""
    _validate_tool_choice(asked)
    _validate_turns(asked.messages)
    for position, message in enumerate(asked.messages):
        _validate_images(message, position)


def _validate_tool_choice(asked: CountRequest) -> None:
    names = [tool.name for tool in asked.tools or ()]
    if asked.tool_choice is not None and not names:
        raise ApiError(400, "tool_choice: may only be specified while providing tools.")
    if isinstance(asked.tool_choice, ToolChoice) and asked.tool_choice.name not in names:
        raise ApiError(400, f"tool_choice: tool '{asked.tool_choice.name}' not found in provided tools.")


def _validate_turns(messages: list[Message]) -> None:
    """Each tool use is answered in the next message, and each tool result answers one of the message before."""
    open_uses: set[str] = set()
    for position, message in enumerate(messages):
        blocks = message.content if isinstance(message.content, list) else []
        results = {block.tool_use_id for block in blocks if isinstance(block, ToolResultBlock)}
        if results - open_uses:
            unknown = ", ".join(sorted(results - open_uses))
            raise ApiError(
                400,
                f"messages.{position}.content: unexpected `tool_use_id` found in `tool_result` blocks: {unknown}.",
            )
        _all_answered(open_uses - results, position - 1)
        open_uses = {block.id for block in blocks if isinstance(block, ToolUseBlock)}
    _all_answered(open_uses, len(messages) - 1)


def _all_answered(unanswered: set[str], position: int) -> None:
    if unanswered:
        ids = ", ".join(sorted(unanswered))
        text = "`tool_use` ids were found without `tool_result` blocks immediately after"
        raise ApiError(400, f"messages.{position}: {text}: {ids}.")


def _validate_images(message: Message, position: int) -> None:
    blocks = message.content if isinstance(message.content, list) else []
    for index, block in enumerate(blocks):
        if isinstance(block, ImageBlock) and isinstance(block.source, Base64Source):
            _validate_base64(
                block.source.data, f"messages.{position}.content.{index}.image.source.base64.data"
            )


def _validate_base64(data: str, field: str) -> None:
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ApiError(400, f"{field}: invalid base64 data.") from error
