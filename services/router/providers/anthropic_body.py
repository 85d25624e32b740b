"""A completion request as the body that Anthropic's Messages API takes."""

from typing import Any

import msgspec

from headgate.chat.v1 import options_pb2, tool_pb2
from headgate.router.v1 import completion_pb2
from services.router.providers import options
from services.router.providers.anthropic_messages import system_of, turns_of
from services.router.providers.json_text import embedded
from services.router.targets.provider import FailureKind, ProviderError

# The API wants a limit always; this is what a request without one gets.
DEFAULT_MAX_TOKENS = 4096

_MODES = {
    tool_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    tool_pb2.TOOL_CHOICE_MODE_NONE: "none",
    tool_pb2.TOOL_CHOICE_MODE_REQUIRED: "any",
}
_NO_ARGUMENTS = {"type": "object", "properties": {}}


def body_of(
    model: str,
    request: completion_pb2.CompletionRequest,
    *,
    streamed: bool,
    max_output_tokens: int | None,
    provider: str,
) -> bytes:
    body = options.of(request) | _prompt(model, request, provider)
    body["max_tokens"] = _limit(request, max_output_tokens)
    if streamed:
        body["stream"] = True
    for field in ("temperature", "top_p", "top_k"):
        if request.HasField(field):
            body[field] = getattr(request, field)
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.service_tier:
        body["service_tier"] = request.service_tier
    if request.end_user_id:
        body["metadata"] = {"user_id": request.end_user_id}
    return msgspec.json.encode(body)


def count_body_of(model: str, request: completion_pb2.CompletionRequest, provider: str) -> bytes:
    """The fields that make up the prompt."""
    return msgspec.json.encode(_prompt(model, request, provider))


def _prompt(model: str, request: completion_pb2.CompletionRequest, provider: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": turns_of(request.messages, provider)}
    if system := system_of(request.messages):
        body["system"] = system
    if request.tools:
        body["tools"] = [_tool(tool, index) for index, tool in enumerate(request.tools)]
    if (choice := _tool_choice(request)) is not None:
        body["tool_choice"] = choice
    if (thinking := _thinking(request.reasoning)) is not None:
        body["thinking"] = thinking
    if output := _output_config(request):
        body["output_config"] = output
    return body


def _limit(request: completion_pb2.CompletionRequest, max_output_tokens: int | None) -> int:
    """The reasoning budget is part of the limit and must leave room for an answer."""
    budget = request.reasoning.budget_tokens
    if max_output_tokens is None:
        return budget + DEFAULT_MAX_TOKENS
    if budget >= max_output_tokens:
        message = f"reasoning.budget_tokens: {budget} leaves no room within {max_output_tokens} output tokens"
        raise ProviderError(FailureKind.REJECTED, message)
    return max_output_tokens


def _tool(tool: tool_pb2.Tool, index: int) -> dict[str, Any]:
    block: dict[str, Any] = {"name": tool.name}
    if tool.description:
        block["description"] = tool.description
    field = f"tools[{index}].parameters_json"
    block["input_schema"] = embedded(tool.parameters_json, field) if tool.parameters_json else _NO_ARGUMENTS
    if tool.HasField("strict"):
        block["strict"] = tool.strict
    return block


def _tool_choice(request: completion_pb2.CompletionRequest) -> dict[str, Any] | None:
    """`parallel_tool_calls` is part of the choice here, and says nothing where no tool may be called."""
    choice: dict[str, Any] | None = None
    if request.HasField("tool_choice"):
        asked = request.tool_choice
        named = asked.WhichOneof("choice") == "name"
        choice = {"type": "tool", "name": asked.name} if named else {"type": _MODES[asked.mode]}
    if request.HasField("parallel_tool_calls") and request.tools:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = not request.parallel_tool_calls
    return choice


def _thinking(reasoning: options_pb2.ReasoningOptions) -> dict[str, Any] | None:
    """A budget fixes how much the model thinks; an effort alone leaves that to the model."""
    if reasoning.HasField("budget_tokens"):
        return {"type": "enabled", "budget_tokens": reasoning.budget_tokens}
    if reasoning.effort == "none":
        return {"type": "disabled"}
    return {"type": "adaptive"} if reasoning.effort else None


def _output_config(request: completion_pb2.CompletionRequest) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if request.reasoning.effort not in ("", "none"):
        output["effort"] = request.reasoning.effort
    if request.response_format.WhichOneof("format") == "json_schema":
        output["format"] = {"type": "json_schema", "schema": _schema(request.response_format.json_schema)}
    return output


def _schema(asked: options_pb2.JsonSchemaFormat) -> Any:
    """The API has no place for name and description beside the schema; JSON Schema has one within it."""
    schema = embedded(asked.schema_json, "response_format.json_schema.schema_json")
    said = {"title": asked.name, "description": asked.description}
    return {name: text for name, text in said.items() if text} | msgspec.json.decode(schema, type=dict)
