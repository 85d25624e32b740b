"""What is asked of the cache, by whom, and with whom the answer may be shared."""

from enum import Enum
from functools import lru_cache

from msgspec import Struct


class Scope(Enum):
    """Who shares entries with whom; the value stands in the key."""

    KEY = b"key"
    USER = b"user"
    ORGANIZATION = b"organization"


class Caller(Struct, frozen=True, gc=False):
    """Who asks; `user_id` and `key_id` are empty when there is none."""

    organization_id: str
    user_id: str = ""
    key_id: str = ""


class Sharers(Struct, frozen=True, gc=False):
    """Everyone who may be served one another's answers: those with equal sharers, nobody else."""

    scope: Scope
    organization_id: str
    user_id: str = ""
    key_id: str = ""


@lru_cache(maxsize=4096)
def sharers(caller: Caller, scope: Scope) -> Sharers:
    """With whom `caller` shares under `scope`.

    An identity that is absent never widens the circle. Without a user, USER shares within the API key; without that too,
    within those requests of the organisation that have neither. Without a key, KEY shares within those requests of the
    user that have none. Neither is ever shared with ORGANIZATION.
    """
    match scope:
        case Scope.ORGANIZATION:
            return Sharers(scope, caller.organization_id)
        case Scope.USER if caller.user_id:
            return Sharers(scope, caller.organization_id, caller.user_id)
        case _:
            return Sharers(scope, caller.organization_id, caller.user_id, caller.key_id)


class Question(Struct, frozen=True, gc=False):
    """`content` is the canonical bytes of everything but the model that determines the answer.

    An answer older than `max_age_ns` is not wanted. `by_meaning` asks for similar questions as well.
    """

    caller: Caller
    scope: Scope
    model: str
    content: bytes
    max_age_ns: int | None = None
    by_meaning: bool = False
