"""OpenAI embeddings: a bag of hashed words, so that texts that share words lie close to each other."""

import base64
import math
import zlib
from array import array
from typing import Any

import msgspec

from simulator.errors import ApiError
from simulator.openai_completions import inputs_of
from simulator.openai_schema import EmbeddingRequest
from simulator.reply import Context, Reply

_DEFAULT_DIMENSIONS = 256
_SPREAD = 4
"""How many dimensions one word touches."""


def reply_to_embedding(asked: EmbeddingRequest, context: Context) -> Reply:
    texts = inputs_of(asked.input, "input")
    if not all(text.text for text in texts):
        raise ApiError(400, "'$.input' is invalid: an empty text has no embedding.", "input", "invalid_value")
    tokens = sum(text.tokens for text in texts)

    def body() -> bytes:
        dimensions = asked.dimensions or _DEFAULT_DIMENSIONS
        vectors = [embed(text.text, dimensions) for text in texts]
        data = [_item(index, vector, asked.encoding_format) for index, vector in enumerate(vectors)]
        used = {"prompt_tokens": tokens, "total_tokens": tokens}
        whole = {"object": "list", "data": data, "model": context.model}
        return msgspec.json.encode(whole if context.behaviour.no_usage else whole | {"usage": used})

    return Reply(input_tokens=tokens, body=body)


def embed(text: str, dimensions: int) -> "array[float]":
    """A vector of length 1, in single precision."""
    vector = [0.0] * dimensions
    for word in text.lower().split() or [text]:
        data = word.encode()
        for salt in range(_SPREAD):
            hashed = zlib.crc32(data, salt)
            vector[(hashed >> 1) % dimensions] += 1.0 if hashed & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if not length:
        vector[0] = length = 1.0
    return array("f", (value / length for value in vector))


def _item(index: int, vector: "array[float]", encoding: str | None) -> dict[str, Any]:
    embedding = base64.b64encode(vector).decode() if encoding == "base64" else vector.tolist()
    return {"object": "embedding", "index": index, "embedding": embedding}
