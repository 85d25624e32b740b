"""Page tokens: where a page ended, bound to the question that it answers."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import TypeVar

import msgspec

from services.billing.errors import InvalidPageTokenError

DEFAULT_PAGE_SIZE = 100
_CHECK_BYTES = 8
_T = TypeVar("_T")


def page_size(asked: int) -> int:
    return asked or DEFAULT_PAGE_SIZE


def write_token(question: object, position: object) -> str:
    """Opaque text for `position` (a value msgspec can encode) in the answer to `question` (by its repr)."""
    encoded = msgspec.msgpack.encode(position)
    return urlsafe_b64encode(_check(question, encoded) + encoded).rstrip(b"=").decode()


def read_token(question: object, token: str, kind: type[_T]) -> _T | None:
    """The position, or None for the first page.

    :raises InvalidPageTokenError: not a token that was given for this question.
    """
    if not token:
        return None
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        check, encoded = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check != _check(question, encoded):
            raise InvalidPageTokenError("page_token is not one that this method returned for the same query")
        return msgspec.msgpack.decode(encoded, type=kind)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise InvalidPageTokenError("page_token is not one that this method returned") from None


def _check(question: object, encoded: bytes) -> bytes:
    return blake2b(repr(question).encode() + b"\0" + encoded, digest_size=_CHECK_BYTES).digest()
