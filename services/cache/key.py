"""The key of a question: HMAC-SHA256 over an encoding that no two questions share."""

import hmac
import struct
from functools import lru_cache

from services.cache.question import Sharers

# Part of what is hashed: another encoding is another schema, and finds nothing that this one stored.
SCHEMA = b"headgate.cache.key/1"
KEY_BYTES = 32
_LENGTHS, _LENGTH = struct.Struct(">6Q"), struct.Struct(">Q")


def key_of(secret: bytes, sharers: Sharers, model: str, content: bytes) -> bytes:
    return hmac.digest(secret, encode(sharers, model, content), "sha256")


def encode(sharers: Sharers, model: str, content: bytes) -> bytes:
    """The lengths of a fixed number of parts, then the parts, so that none can pass for the end of another."""
    lengths, parts = _encoded(sharers, model)
    return b"".join((lengths, _LENGTH.pack(len(content)), parts, content))


@lru_cache(maxsize=4096)
def _encoded(sharers: Sharers, model: str) -> tuple[bytes, bytes]:
    """The lengths of all parts but the content, and these parts."""
    parts = (
        SCHEMA,
        sharers.scope.value,
        sharers.organization_id.encode(),
        sharers.user_id.encode(),
        sharers.key_id.encode(),
        model.encode(),
    )
    return _LENGTHS.pack(*map(len, parts)), b"".join(parts)
