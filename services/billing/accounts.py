"""Organisations, their users, and the users' keys, as the store keeps them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """An organisation (`user_id` empty), or a user of one."""

    organization_id: str
    user_id: str = ""
    display_name: str = ""
    create_ns: int = 0


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. `expire_ns` and `revoke_ns` None: never."""

    key_id: str
    organization_id: str
    user_id: str
    display_name: str
    create_ns: int
    expire_ns: int | None = None
    revoke_ns: int | None = None

    def has_ended(self, now_ns: int) -> bool:
        return self.revoke_ns is not None or (self.expire_ns is not None and self.expire_ns <= now_ns)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key with the keyed hash of its secret, and whether a hard budget binds its caller."""

    key: Key
    secret_hash: bytes
    has_hard_budget: bool


@dataclass(frozen=True, slots=True)
class ResolvedKey:
    key: Key
    has_hard_budget: bool
