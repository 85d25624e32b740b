"""API keys: made, written as `hg_<key_id>_<secret>`, and recognised without keeping the secret."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from services._runtime.key_form import KEY_ID_LENGTH, RANDOM_LENGTH, checksum, fault_of
from services.billing.accounts import ResolvedKey, StoredKey
from services.billing.errors import InvalidKeyError, KeyRevokedError

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_NO_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class Token:
    """A presented or new key; its secret is in no text that is made of it except `text()`."""

    key_id: str
    secret: str = field(repr=False)

    def text(self) -> str:
        return f"hg_{self.key_id}_{self.secret}"


def new_token(choose: Callable[[str], str]) -> Token:
    """`choose` draws one character of an alphabet, unpredictably: 40 of 62 are 238 bits."""
    key_id = "".join(choose(ALPHABET) for _ in range(KEY_ID_LENGTH))
    drawn = Token(key_id, "".join(choose(ALPHABET) for _ in range(RANDOM_LENGTH)))
    return Token(key_id, drawn.secret + checksum(drawn.text()))


def parse_token(text: str) -> Token | None:
    """None: no key that was ever made."""
    return Token(*text.split("_")[1:]) if fault_of(text) is None else None


def hash_secret(pepper: bytes, secret: str) -> bytes:
    return hmac.new(pepper, secret.encode(), hashlib.sha256).digest()


def recognise(pepper: bytes, token: Token | None, stored: StoredKey | None, now_ns: int) -> ResolvedKey:
    """Whose key it is. An unknown key takes the same work as a known one.

    :raises InvalidKeyError: malformed, unknown, or another secret; not told apart.
    :raises KeyRevokedError: the secret is right, but the key was revoked or has expired.
    """
    presented = hash_secret(pepper, token.secret if token is not None else "")
    expected = stored.secret_hash if stored is not None else _NO_HASH
    is_right = hmac.compare_digest(presented, expected)
    if token is None or stored is None or not is_right:
        raise InvalidKeyError("no such API key")
    if stored.key.has_ended(now_ns):
        raise KeyRevokedError(f"the API key {stored.key.key_id} was revoked or has expired")
    return ResolvedKey(stored.key, stored.has_hard_budget)
