"""What of a request OpenAI-compatible servers can't express."""

from collections.abc import Iterator

from headgate.chat.v1 import message_pb2, options_pb2
from headgate.router.v1 import completion_pb2
from services.router.providers.json_text import NO_OBJECT, is_object
from services.router.providers.openai_dialect import Dialect
from services.router.providers.openai_messages import AUDIO_FORMATS, PDF
from services.router.targets.provider import Unsupported

_PARTS_BY_ROLE = {
    message_pb2.ROLE_SYSTEM: {"text"},
    message_pb2.ROLE_USER: {"text", "blob", "uri"},
    message_pb2.ROLE_ASSISTANT: {"text", "tool_call", "reasoning"},
    message_pb2.ROLE_TOOL: {"tool_result"},
}


def misfits(request: completion_pb2.CompletionRequest, dialect: Dialect) -> Iterator[Unsupported]:
    if request.HasField("top_k") and "top_k" not in dialect.extensions:
        yield _unknown("top_k", "top_k")
    if request.reasoning.HasField("budget_tokens"):
        reason = "OpenAI's API takes a named effort and no budget of tokens"
        yield Unsupported("reasoning.budget_tokens", reason)
    if request.HasField("response_format"):
        yield from _in_format(request.response_format, dialect)
    for index, tool in enumerate(request.tools):
        if tool.parameters_json and not is_object(tool.parameters_json):
            yield Unsupported(f"tools[{index}].parameters_json", NO_OBJECT)
    for index, message in enumerate(request.messages):
        yield from _in_message(message, f"messages[{index}]")


def _in_format(asked: options_pb2.ResponseFormat, dialect: Dialect) -> Iterator[Unsupported]:
    kind = asked.WhichOneof("format")
    if kind == "json_schema" and not is_object(asked.json_schema.schema_json):
        yield Unsupported("response_format.json_schema.schema_json", NO_OBJECT)
    if kind == "grammar":
        extension = "grammar" if asked.grammar.syntax == "gbnf" else "structured_outputs"
        if extension not in dialect.extensions:
            yield _unknown("response_format.grammar", extension)


def _unknown(field: str, extension: str) -> Unsupported:
    reason = f"OpenAI's API has no such parameter; a server that takes it is declared with `extensions: [{extension}]`"
    return Unsupported(field, reason)


def _in_message(message: message_pb2.Message, path: str) -> Iterator[Unsupported]:
    if message.name and message.role == message_pb2.ROLE_TOOL:
        yield Unsupported(f"{path}.name", "OpenAI's API takes no name with a tool's result")
    allowed = _PARTS_BY_ROLE[message.role]
    for index, part in enumerate(message.parts):
        kind = part.WhichOneof("content") or ""
        if kind == "text" and kind in allowed:
            continue
        field = f"{path}.parts[{index}].{kind}"
        if kind not in allowed:
            role = message_pb2.Role.Name(message.role)
            yield Unsupported(field, f"OpenAI's API takes no such part in a {role} message")
        elif kind == "uri":
            yield from _in_uri(part.uri, field)
        elif kind == "blob":
            yield from _in_blob(part.blob, field)


def _in_uri(uri: message_pb2.Uri, field: str) -> Iterator[Unsupported]:
    if uri.media_type and not uri.media_type.startswith("image/"):
        yield Unsupported(field, f"OpenAI's API takes only images by address, and this is {uri.media_type}")


def _in_blob(blob: message_pb2.Blob, field: str) -> Iterator[Unsupported]:
    is_image = blob.media_type.startswith("image/")
    if not (is_image or blob.media_type == PDF or blob.media_type in AUDIO_FORMATS):
        yield Unsupported(field, f"OpenAI's API takes images, PDF, WAV and MP3, not {blob.media_type}")
    elif blob.detail and not is_image:
        yield Unsupported(f"{field}.detail", "it says how to look at an image, and this is none")
