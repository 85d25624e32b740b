"""Who may call: the hook's type, bearer tokens, and the token that the installation's services share."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services._runtime.configuration.environment import Secret
from services._runtime.errors import InvalidTokenError, MissingCredentialsError

Authenticate = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""From an incoming call's metadata to its principal; raises a GatewayError to refuse it.

Raises AddressNeededError of a caller that it can't judge by the metadata alone.
"""
AskFrom = Callable[[str], Awaitable[Any]]
"""From the address of a call, as `address.caller_address` has it, to its principal; raises a GatewayError to refuse it."""


class AddressNeededError(Exception):
    """Who calls is judged by `ask`, which is told where from: gRPC says so later than the metadata."""

    def __init__(self, ask: AskFrom) -> None:
        super().__init__()
        self.ask = ask


def bearer_token(metadata: Mapping[str, Any]) -> str:
    """:raises MissingCredentialsError: there is no `authorization: Bearer <token>`."""
    scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise MissingCredentialsError("the call needs the metadata `authorization: Bearer <token>`")
    return token.strip()


def require_internal_token(token: Secret | None) -> Authenticate | None:
    """The hook of an internal service; None when the installation has no token, so that nothing is asked."""
    if token is None:
        return None
    expected = token.reveal().encode()

    async def authenticate(metadata: Mapping[str, Any]) -> str:
        if not hmac.compare_digest(bearer_token(metadata).encode(), expected):
            raise InvalidTokenError("the token is not this installation's HEADGATE_INTERNAL_TOKEN")
        return "internal"

    return authenticate
