"""A completion request as the body that OpenAI-compatible servers take."""

from typing import Any

import msgspec

from headgate.chat.v1 import options_pb2, tool_pb2
from headgate.router.v1 import completion_pb2
from services.router.providers import options
from services.router.providers.json_text import embedded
from services.router.providers.openai_dialect import Dialect
from services.router.providers.openai_messages import messages_of

_MODES = {
    tool_pb2.TOOL_CHOICE_MODE_AUTO: "auto",
    tool_pb2.TOOL_CHOICE_MODE_NONE: "none",
    tool_pb2.TOOL_CHOICE_MODE_REQUIRED: "required",
}
# Present in the request: present in the body, under this name and unchanged.
_SCALARS = (
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("choice_count", "n"),
    ("parallel_tool_calls", "parallel_tool_calls"),
)


def body_of(
    model: str,
    request: completion_pb2.CompletionRequest,
    dialect: Dialect,
    *,
    streamed: bool,
    max_output_tokens: int | None,
    provider: str,
) -> bytes:
    body = options.of(request)
    body["model"] = model
    body["messages"] = messages_of(request.messages, provider, nine_letter_ids=dialect.nine_letter_ids)
    if max_output_tokens is not None:
        body[dialect.max_tokens_field] = max_output_tokens
    if streamed:
        body["stream"] = True
        body["stream_options"] = dialect.stream_options
    _put_sampling(request, body)
    _put_tools(request, body)
    if request.HasField("response_format"):
        _put_format(request.response_format, body)
    if request.reasoning.effort:
        body["reasoning_effort"] = request.reasoning.effort
    if request.service_tier:
        body["service_tier"] = request.service_tier
    if request.end_user_id:
        body["user"] = request.end_user_id
    return msgspec.json.encode(body)


def _put_sampling(request: completion_pb2.CompletionRequest, body: dict[str, Any]) -> None:
    for field, name in _SCALARS:
        if request.HasField(field):  # type: ignore[arg-type]
            body[name] = getattr(request, field)
    if request.stop:
        body["stop"] = list(request.stop)
    if request.HasField("top_logprobs"):
        body["logprobs"] = True
        body["top_logprobs"] = request.top_logprobs


def _put_tools(request: completion_pb2.CompletionRequest, body: dict[str, Any]) -> None:
    if request.tools:
        body["tools"] = [_tool(tool, index) for index, tool in enumerate(request.tools)]
    if request.HasField("tool_choice"):
        body["tool_choice"] = _tool_choice(request.tool_choice)


def _tool(tool: tool_pb2.Tool, index: int) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters_json:
        function["parameters"] = embedded(tool.parameters_json, f"tools[{index}].parameters_json")
    if tool.HasField("strict"):
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: tool_pb2.ToolChoice) -> Any:
    if choice.WhichOneof("choice") == "name":
        return {"type": "function", "function": {"name": choice.name}}
    return _MODES[choice.mode]


def _put_format(asked: options_pb2.ResponseFormat, body: dict[str, Any]) -> None:
    match asked.WhichOneof("format"):
        case "json":
            body["response_format"] = {"type": "json_object"}
        case "json_schema":
            body["response_format"] = {"type": "json_schema", "json_schema": _schema(asked.json_schema)}
        case "grammar":
            _put_grammar(asked.grammar, body)
        case _:
            body["response_format"] = {"type": "text"}


def _schema(asked: options_pb2.JsonSchemaFormat) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "name": asked.name,
        "schema": embedded(asked.schema_json, "response_format.json_schema.schema_json"),
    }
    if asked.description:
        schema["description"] = asked.description
    if asked.HasField("strict"):
        schema["strict"] = asked.strict
    return schema


def _put_grammar(asked: options_pb2.GrammarFormat, body: dict[str, Any]) -> None:
    """llama.cpp's `grammar` takes GBNF; vLLM's `structured_outputs` takes the others."""
    if asked.syntax == "gbnf":
        body["grammar"] = asked.definition
    else:
        kind = "regex" if asked.syntax == "regex" else "grammar"
        body["structured_outputs"] = {kind: asked.definition}
