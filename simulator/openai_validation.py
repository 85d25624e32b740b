"""What an OpenAI request must satisfy beyond its shape."""

import base64
import binascii

from simulator.errors import ApiError
from simulator.openai_schema import ChatRequest, ImagePart, Message, NamedTool


def validate_chat(asked: ChatRequest) -> None:
    """:raises ApiError: 400, worded as the API does and naming the field"""
    if asked.stream_options is not None and not asked.stream:
        raise _invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )
    if asked.max_tokens is not None and asked.max_completion_tokens is not None:
        raise _invalid(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
        )
    _validate_tools(asked)
    _validate_format(asked)
    _validate_turns(asked.messages)
    for position, message in enumerate(asked.messages):
        _validate_images(message, f"messages.[{position}].content")


def _validate_tools(asked: ChatRequest) -> None:
    names = [tool.function.name for tool in asked.tools or ()]
    if asked.tool_choice is not None and not names:
        raise _invalid(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            "tool_choice",
        )
    if isinstance(asked.tool_choice, NamedTool) and asked.tool_choice.function.name not in names:
        message = (
            f"Invalid value for 'tool_choice': tool '{asked.tool_choice.function.name}' not found in 'tools'."
        )
        raise _invalid(message, "tool_choice")


def _validate_format(asked: ChatRequest) -> None:
    wanted = asked.response_format
    if wanted is not None and wanted.type == "json_schema" and wanted.json_schema is None:
        param = "response_format.json_schema"
        raise ApiError(400, f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def _validate_turns(messages: list[Message]) -> None:
    """Each tool call is answered by a tool message directly after it, and each tool message answers one."""
    open_calls: set[str] = set()
    for position, message in enumerate(messages):
        param = f"messages.[{position}]"
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                text = (
                    "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                )
                raise _invalid(f"Invalid parameter: {text}", f"{param}.role")
            open_calls.discard(message.tool_call_id or "")
            continue
        _all_answered(open_calls, param)
        if message.content is None and not message.tool_calls:
            raise _invalid("Invalid value for 'content': expected a string, got null.", f"{param}.content")
        open_calls = {call.id for call in message.tool_calls or ()}
    _all_answered(open_calls, "messages")


def _all_answered(open_calls: set[str], param: str) -> None:
    if open_calls:
        text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
        raise _invalid(f"{text} The following have no response: {', '.join(sorted(open_calls))}", param)


def _validate_images(message: Message, param: str) -> None:
    parts = message.content if isinstance(message.content, list) else []
    for part in parts:
        if isinstance(part, ImagePart):
            _validate_image(part.image_url.url, param)


def _validate_image(url: str, param: str) -> None:
    if url.startswith(("https://", "http://")):
        return
    head, _, data = url.partition(";base64,")
    if not head.startswith("data:image/"):
        raise ApiError(
            400, "Invalid image URL: expected an http(s) or a base64 data URL.", param, "invalid_image_url"
        )
    try:
        base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ApiError(400, "Invalid base64 image data.", param, "invalid_base64") from error


def _invalid(message: str, param: str) -> ApiError:
    return ApiError(400, message, param, "invalid_value")
