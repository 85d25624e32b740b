"""How many input tokens a request has, before a provider has counted: about, and at most. Pure.

What is charged in the end is the provider's own count. The estimate takes 4 UTF-8 bytes for a token, the ratio that OpenAI's
documentation gives for English, and is for what may be wrong. The most is for what is held and reserved.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from headgate.chat.v1 import message_pb2
from headgate.router.v1 import completion_pb2

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_TOOL = 8
TOKENS_PER_IMAGE = 765  # a 1024 x 1024 image at high detail, by OpenAI's published rule

# No tokenizer in use makes more tokens than a text has bytes: what it does not know it spells in bytes.
_MOST_FRAMING = 64
_MOST_PER_MESSAGE = 16
_MOST_PER_TOOL = 64
_MOST_FOR_TOOLS = 1024  # Anthropic's prompt that explains tools has 346 to 804 tokens
_SCHEMA_FACTOR = 2  # a server may write tools and schemas out with line breaks, spaces and escapes


@dataclass(frozen=True, slots=True)
class Size:
    """What a request is made of, as far as a provider counts it. `media` are attachments other than images and plain text;
    `schema_bytes` are of tools, with their names and descriptions, and of the form of the answer; `opaque_bytes` are what a
    provider gave to be handed back, of which it may count all or nothing.
    """

    text_bytes: int
    schema_bytes: int
    opaque_bytes: int
    messages: int
    tools: int
    images: int
    media: int

    def about(self) -> int:
        """Input tokens, at least 1."""
        framing = TOKENS_PER_MESSAGE * self.messages + TOKENS_PER_TOOL * self.tools
        attached = TOKENS_PER_IMAGE * (self.images + self.media)
        return max(1, -(-(self.text_bytes + self.schema_bytes) // BYTES_PER_TOKEN) + framing + attached)

    def most(self, tokens_per_image: int, context_window: int | None) -> int | None:
        """Input tokens of a model that counts an image as so many at the most; None when nothing bounds them."""
        if self.media:
            # A page, or a second of sound or film, has no size of its own.
            return context_window
        framing = _MOST_FRAMING + _MOST_PER_MESSAGE * self.messages + _MOST_PER_TOOL * self.tools
        framing += _MOST_FOR_TOOLS if self.tools else 0
        most = (
            self.text_bytes
            + self.opaque_bytes
            + _SCHEMA_FACTOR * self.schema_bytes
            + framing
            + tokens_per_image * self.images
        )
        return most if context_window is None else min(most, context_window)


def measure(request: completion_pb2.CompletionRequest) -> Size:
    """Of a request whose conversation is in `messages`."""
    images = media = text_bytes = schema_bytes = opaque_bytes = 0
    for message in request.messages:
        is_handed_back = message.role == message_pb2.ROLE_ASSISTANT
        for part in message.parts:
            kind = part.WhichOneof("content") or ""
            opaque_bytes += _opaque_bytes(part) if is_handed_back else 0
            if kind == "reasoning":
                text_bytes += _size(part.reasoning.text)
            elif kind not in ("blob", "uri"):
                text_bytes += _text_bytes(part, kind)
            elif _is_unsized(part):
                media += 1
            elif part.blob.media_type.startswith("text/"):
                text_bytes += len(part.blob.data)
            else:
                images += 1
    for tool in request.tools:
        schema_bytes += len(tool.name) + _size(tool.description) + _size(tool.parameters_json)
    if request.HasField("response_format"):
        schema_bytes += request.response_format.ByteSize()
    if request.HasField("provider_options"):
        # Which of them the provider puts into the prompt is not known here.
        text_bytes += request.provider_options.ByteSize()
    return Size(
        text_bytes, schema_bytes, opaque_bytes, len(request.messages), len(request.tools), images, media
    )


def unsized_parts(request: completion_pb2.CompletionRequest) -> Iterator[str]:
    """The fields of documents, sound and film, of which nothing says how many tokens they are."""
    for index, message in enumerate(request.messages):
        for position, part in enumerate(message.parts):
            kind = part.WhichOneof("content")
            if kind in ("blob", "uri") and _is_unsized(part):
                yield f"messages[{index}].parts[{position}].{kind}"


def _opaque_bytes(part: message_pb2.Part) -> int:
    reasoning = part.reasoning
    states = [reasoning.signature, reasoning.redacted_data, reasoning.state_json, part.tool_call.state_json]
    return sum(map(_size, states)) + sum(_size(each.state_json) for each in part.annotations)


def _is_unsized(part: message_pb2.Part) -> bool:
    return not (
        _is_image(part.blob.media_type or part.uri.media_type) or part.blob.media_type.startswith("text/")
    )


def _is_image(media_type: str) -> bool:
    """An address may leave its type out; then it is one."""
    return not media_type or media_type.startswith("image/")


def _text_bytes(part: message_pb2.Part, kind: str) -> int:
    if kind == "text":
        return _size(part.text)
    if kind == "tool_call":
        return _size(part.tool_call.name) + _size(part.tool_call.arguments_json)
    return _size(part.tool_result.text)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
