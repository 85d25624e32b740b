"""What of a request Anthropic's Messages API can't express."""

from collections.abc import Iterator, Sequence

from headgate.chat.v1 import message_pb2, options_pb2
from headgate.router.v1 import completion_pb2
from services.router.providers.anthropic_messages import IMAGES, PDF, PLAIN
from services.router.providers.json_text import NO_OBJECT, is_object
from services.router.targets.provider import Unsupported

_SMALLEST_BUDGET = 1024
_PARTS_BY_ROLE = {
    message_pb2.ROLE_SYSTEM: {"text"},
    message_pb2.ROLE_USER: {"text", "blob", "uri"},
    message_pb2.ROLE_ASSISTANT: {"text", "tool_call", "reasoning"},
    message_pb2.ROLE_TOOL: {"tool_result"},
}
_ABSENT = "Anthropic's API has no such parameter"


def misfits(request: completion_pb2.CompletionRequest) -> Iterator[Unsupported]:
    yield from _in_sampling(request)
    yield from _in_reasoning(request)
    if request.HasField("response_format"):
        yield from _in_format(request.response_format)
    for index, tool in enumerate(request.tools):
        if tool.parameters_json and not is_object(tool.parameters_json):
            yield Unsupported(f"tools[{index}].parameters_json", NO_OBJECT)
    for index, message in enumerate(request.messages):
        yield from _in_message(message, f"messages[{index}]")
    yield from _in_turns(request.messages)


def _in_turns(messages: Sequence[message_pb2.Message]) -> Iterator[Unsupported]:
    """What each turn lacks beside the others."""
    spoken = [(at, message) for at, message in enumerate(messages) if message.role != message_pb2.ROLE_SYSTEM]
    if spoken and spoken[0][1].role == message_pb2.ROLE_ASSISTANT:
        yield Unsupported(
            f"messages[{spoken[0][0]}].role", "conversations with Anthropic's API begin with the user"
        )
    if not any(map(_says_something, messages)):
        yield Unsupported("messages", "Anthropic's API takes no texts of white space alone")
    waiting: dict[str, str] = {}
    for at, message in enumerate(messages):
        for position, part in enumerate(message.parts):
            if part.HasField("tool_result"):
                waiting.pop(part.tool_result.tool_call_id, None)
            elif part.HasField("tool_call"):
                waiting[part.tool_call.id] = f"messages[{at}].parts[{position}].tool_call"
    for field in waiting.values():
        yield Unsupported(field, "Anthropic's API wants a tool_result for each call of a tool")


def _says_something(message: message_pb2.Message) -> bool:
    return any(
        part.WhichOneof("content") not in ("text", "reasoning") or part.text.strip() for part in message.parts
    )


def _in_sampling(request: completion_pb2.CompletionRequest) -> Iterator[Unsupported]:
    for field in ("seed", "top_logprobs"):
        if request.HasField(field):
            yield Unsupported(field, _ABSENT)
    for field in ("presence_penalty", "frequency_penalty"):
        if getattr(request, field):
            yield Unsupported(field, _ABSENT)
    if request.choice_count > 1:
        yield Unsupported("choice_count", "Anthropic's API gives one answer to a request")
    for index, stop in enumerate(request.stop):
        if not stop.strip():
            yield Unsupported(f"stop[{index}]", "Anthropic's API takes no stop sequence of white space alone")
    if request.temperature > 1:
        yield Unsupported("temperature", "Anthropic's range is 0..1")


def _in_reasoning(request: completion_pb2.CompletionRequest) -> Iterator[Unsupported]:
    asked = request.reasoning
    if asked.effort == "minimal":
        yield Unsupported("reasoning.effort", "Anthropic's API knows none, low, medium and high")
    if not asked.HasField("budget_tokens"):
        return
    if asked.effort == "none":
        yield Unsupported("reasoning.budget_tokens", "with the effort `none` there is nothing to spend it on")
    elif asked.budget_tokens < _SMALLEST_BUDGET:
        yield Unsupported("reasoning.budget_tokens", f"Anthropic's smallest is {_SMALLEST_BUDGET}")
    elif request.HasField("max_output_tokens") and asked.budget_tokens >= request.max_output_tokens:
        reason = "it is part of max_output_tokens and must leave room for an answer"
        yield Unsupported("reasoning.budget_tokens", reason)


def _in_format(asked: options_pb2.ResponseFormat) -> Iterator[Unsupported]:
    match asked.WhichOneof("format"):
        case "json":
            reason = "Anthropic's API guarantees JSON only with a schema: use json_schema"
            yield Unsupported("response_format.json", reason)
        case "json_schema" if not is_object(asked.json_schema.schema_json):
            yield Unsupported("response_format.json_schema.schema_json", NO_OBJECT)
        case "grammar":
            yield Unsupported("response_format.grammar", "Anthropic's API takes no grammar")


def _in_message(message: message_pb2.Message, path: str) -> Iterator[Unsupported]:
    if message.name:
        yield Unsupported(f"{path}.name", "Anthropic's API does not tell participants of one role apart")
    allowed = _PARTS_BY_ROLE[message.role]
    for index, part in enumerate(message.parts):
        kind = part.WhichOneof("content") or ""
        if kind == "text" and kind in allowed:
            continue
        field = f"{path}.parts[{index}].{kind}"
        if kind not in allowed:
            role = message_pb2.Role.Name(message.role)
            yield Unsupported(field, f"Anthropic's API takes no such part in a {role} message")
        else:
            yield from _in_part(part, kind, field)


def _in_part(part: message_pb2.Part, kind: str, field: str) -> Iterator[Unsupported]:
    match kind:
        case "uri":
            yield from _in_uri(part.uri, field)
        case "blob":
            yield from _in_blob(part.blob, field)
        case "tool_call" if part.tool_call.arguments_json and not is_object(part.tool_call.arguments_json):
            yield Unsupported(f"{field}.arguments_json", NO_OBJECT)


def _in_uri(uri: message_pb2.Uri, field: str) -> Iterator[Unsupported]:
    if uri.media_type and uri.media_type != PDF and not uri.media_type.startswith("image/"):
        yield Unsupported(field, f"Anthropic's API takes images and PDF by address, not {uri.media_type}")
    elif not uri.uri.startswith(("https://", "http://")):
        yield Unsupported(f"{field}.uri", "Anthropic's API fetches only http and https addresses")
    yield from _in_detail(uri.detail, field)


def _in_blob(blob: message_pb2.Blob, field: str) -> Iterator[Unsupported]:
    if blob.media_type not in IMAGES | {PDF, PLAIN}:
        known = "JPEG, PNG, GIF, WebP, PDF and plain text"
        yield Unsupported(field, f"Anthropic's API takes {known}, not {blob.media_type}")
    elif blob.media_type == PLAIN and not _is_utf8(blob.data):
        yield Unsupported(f"{field}.data", "it is not UTF-8 text")
    yield from _in_detail(blob.detail, field)


def _in_detail(detail: str, field: str) -> Iterator[Unsupported]:
    if detail not in ("", "auto"):
        yield Unsupported(f"{field}.detail", "Anthropic's API can't be told how closely to look")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
