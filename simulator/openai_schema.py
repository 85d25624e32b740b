"""The OpenAI API's requests, with the limits that the API states."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Temperature = Annotated[float, Meta(ge=0, le=2)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Choices = Annotated[int, Meta(ge=1, le=128)]
Length = Annotated[int, Meta(ge=1)]
Stops = Annotated[list[str], Meta(max_length=4)]
ModelName = Annotated[str, Meta(min_length=1, max_length=512)]
ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Tokens = list[int]


class ImageUrl(Struct):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class TextPart(Struct, tag="text", tag_field="type"):
    text: str


class ImagePart(Struct, tag="image_url", tag_field="type"):
    image_url: ImageUrl


class File(Struct):
    file_data: str
    filename: str | None = None


class FilePart(Struct, tag="file", tag_field="type"):
    file: File


class Audio(Struct):
    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Struct, tag="input_audio", tag_field="type"):
    input_audio: Audio


class RefusalPart(Struct, tag="refusal", tag_field="type"):
    refusal: str


Part = TextPart | ImagePart | FilePart | AudioPart | RefusalPart


class FunctionCall(Struct):
    name: str
    arguments: str


class ToolCall(Struct):
    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


class Function(Struct):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Struct):
    type: Literal["function"]
    function: Function


class FunctionName(Struct):
    name: str


class NamedTool(Struct):
    type: Literal["function"]
    function: FunctionName


class JsonSchema(Struct):
    name: ToolName
    schema: dict[str, Any] | None = None


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    """vLLM's: usage in every chunk."""


class ChatRequest(Struct):
    model: ModelName
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Length | None = None
    max_completion_tokens: Length | None = None
    n: Choices | None = None
    stop: str | Stops | None = None
    seed: int | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    logprobs: bool | None = None
    user: str | None = None


class CompletionRequest(Struct):
    model: ModelName
    prompt: str | list[str | int | Tokens]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    n: Choices | None = None
    stop: str | Stops | None = None
    seed: int | None = None
    echo: bool | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None


class EmbeddingRequest(Struct):
    model: ModelName
    input: str | list[str | int | Tokens]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=4096)] | None = None
