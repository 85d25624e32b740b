"""The key of a question: HMAC-SHA256 over an encoding that no two questions share."""

import hmac

from services.cache.question import Sharers

# Part of what is hashed: another encoding is another schema, and finds nothing that this one stored.
SCHEMA = b"headgate.cache.key/1"
KEY_BYTES = 32


def key_of(secret: bytes, sharers: Sharers, model: str, content: bytes) -> bytes:
    return hmac.digest(secret, encode(sharers, model, content), "sha256")


def encode(sharers: Sharers, model: str, content: bytes) -> bytes:
    """A fixed number of parts, each behind its length, so that no part can pass for the end of another."""
    parts = (
        SCHEMA,
        sharers.scope.value,
        sharers.organization_id.encode(),
        sharers.user_id.encode(),
        sharers.key_id.encode(),
        model.encode(),
        content,
    )
    return b"".join(piece for part in parts for piece in (len(part).to_bytes(8, "big"), part))
