"""The key of a question: HMAC-SHA256 over an encoding that no two questions share."""

import hmac
import struct

from services.cache.question import Sharers

# Part of what is hashed: another encoding is another schema, and finds nothing that this one stored.
SCHEMA = b"headgate.cache.key/1"
KEY_BYTES = 32
_LENGTHS = struct.Struct(">7Q")


def key_of(secret: bytes, sharers: Sharers, model: str, content: bytes) -> bytes:
    return hmac.digest(secret, encode(sharers, model, content), "sha256")


def encode(sharers: Sharers, model: str, content: bytes) -> bytes:
    """The lengths of a fixed number of parts, then the parts, so that none can pass for the end of another."""
    parts = (
        SCHEMA,
        sharers.scope.value,
        sharers.organization_id.encode(),
        sharers.user_id.encode(),
        sharers.key_id.encode(),
        model.encode(),
        content,
    )
    return b"".join((_LENGTHS.pack(*map(len, parts)), *parts))
