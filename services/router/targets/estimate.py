"""Estimates of tokens, for reserving and holding before a provider has counted.

Texts are taken at 4 UTF-8 bytes a token, the ratio that OpenAI's documentation gives for English; each message and tool
adds a few tokens of framing. What is charged in the end is the provider's own count.
"""

from headgate.chat.v1 import message_pb2
from headgate.router.v1 import completion_pb2

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_TOOL = 8
TOKENS_PER_IMAGE = 765  # a 1024 x 1024 image at high detail, by OpenAI's published rule


def estimate_input_tokens(request: completion_pb2.CompletionRequest) -> int:
    """Input tokens of a request whose conversation is in `messages`; at least 1."""
    images = 0
    text_bytes = 0
    for message in request.messages:
        for part in message.parts:
            kind = part.WhichOneof("content")
            if kind in ("blob", "uri"):
                images += 1
            else:
                text_bytes += _text_bytes(part, kind or "")
    for tool in request.tools:
        text_bytes += len(tool.name) + _size(tool.description) + _size(tool.parameters_json)
    if request.HasField("provider_options"):
        # Which of them the provider puts into the prompt is not known here.
        text_bytes += request.provider_options.ByteSize()
    framing = TOKENS_PER_MESSAGE * len(request.messages) + TOKENS_PER_TOOL * len(request.tools)
    return max(1, -(-text_bytes // BYTES_PER_TOKEN) + framing + TOKENS_PER_IMAGE * images)


def _text_bytes(part: message_pb2.Part, kind: str) -> int:
    if kind == "text":
        return _size(part.text)
    if kind == "tool_call":
        return _size(part.tool_call.name) + _size(part.tool_call.arguments_json)
    if kind == "tool_result":
        return _size(part.tool_result.text)
    return _size(part.reasoning.text)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
