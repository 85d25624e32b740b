"""Log probabilities: made up from the token, and the same for the same token."""

import zlib
from typing import Any


def chat_logprobs(tokens: list[str]) -> dict[str, Any]:
    return {"content": [_token(token) for token in tokens], "refusal": None}


def _token(token: str) -> dict[str, Any]:
    data = token.encode()
    return {
        "token": token,
        "logprob": -(zlib.crc32(data) % 1000) / 1000,
        "bytes": list(data),
        "top_logprobs": [],
    }
