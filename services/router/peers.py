"""The ports to the other three services, as the pipeline needs them.

Every method starts its call at once and returns an awaitable, so that calls to different peers run side by side without a
task each. What is awaited raises GatewayError: the peer's own refusal, or UNAVAILABLE / DEADLINE_EXCEEDED when it could not
be reached in time. Calls are safe to repeat: they are idempotent by the id that they carry.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.common.v1 import caller_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services._runtime.errors import Code

# The peer gave no answer, or none that says anything of the request.
UNREACHABLE = frozenset(
    {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED}
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sent a request, as its API key says."""

    caller: caller_pb2.Caller
    has_hard_budget: bool
    expire_ns: int | None = None
    """When the key ends by itself, in nanoseconds since 1970; None: never."""


class RateLimit(Protocol):
    """Room under limits; semantics in headgate.ratelimit.v1."""

    def reserve(self, request: ratelimit.ReserveRequest) -> Awaitable[ratelimit.ReserveResponse]:
        """:raises GatewayError: RATE_LIMITED."""

    def settle(self, request: ratelimit.SettleRequest) -> Awaitable[ratelimit.SettleResponse]: ...

    def release(self, request: ratelimit.ReleaseRequest) -> Awaitable[ratelimit.ReleaseResponse]: ...


class Cache(Protocol):
    """Earlier answers; semantics in headgate.cache.v1."""

    def lookup(self, request: cache.LookupRequest) -> Awaitable[cache.LookupResponse]: ...

    def store(self, request: cache.StoreRequest) -> Awaitable[cache.StoreResponse]: ...


class Billing(Protocol):
    """Holds and the ledger; semantics in headgate.billing.v1."""

    def authorize(self, request: billing.AuthorizeRequest) -> Awaitable[billing.AuthorizeResponse]:
        """:raises GatewayError: BUDGET_EXCEEDED, UNPRICED_MODEL."""

    def capture(self, request: billing.CaptureRequest) -> Awaitable[billing.CaptureResponse]:
        """:raises GatewayError: USAGE_CONFLICT."""

    def void(self, request: billing.VoidRequest) -> Awaitable[billing.VoidResponse]: ...


class Accounts(Protocol):
    """Whose key it is."""

    def resolve(self, token: str) -> Awaitable[Principal]:
        """:raises GatewayError: INVALID_KEY, KEY_REVOKED."""
