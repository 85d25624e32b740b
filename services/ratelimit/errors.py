"""The errors of this service.

GatewayError
├── RateLimitedError           RESOURCE_EXHAUSTED   RATE_LIMITED
├── ReservationNotFoundError   NOT_FOUND            RESERVATION_NOT_FOUND
├── LimitNotFoundError         NOT_FOUND            NOT_FOUND
├── EtagMismatchError          ABORTED              ETAG_MISMATCH
├── ReadOnlyLimitError         FAILED_PRECONDITION  READ_ONLY_RESOURCE
├── InvalidPageTokenError      INVALID_ARGUMENT     INVALID_PAGE_TOKEN
├── NotImplementedYetError     UNIMPLEMENTED        NOT_IMPLEMENTED
└── StoreUnavailableError      UNAVAILABLE          STORE_UNAVAILABLE
"""

from services._runtime.errors import Code, GatewayError


class RateLimitedError(GatewayError):
    """A limit refused; nothing was taken."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "RATE_LIMITED"


class ReservationNotFoundError(GatewayError):
    """The reservation is unknown, resolved, or has expired."""

    code = Code.NOT_FOUND
    reason = "RESERVATION_NOT_FOUND"


class LimitNotFoundError(GatewayError):
    """There is no such limit."""

    code = Code.NOT_FOUND
    reason = "NOT_FOUND"


class EtagMismatchError(GatewayError):
    """Somebody else changed the limit meanwhile."""

    code = Code.ABORTED
    reason = "ETAG_MISMATCH"


class ReadOnlyLimitError(GatewayError):
    """The configuration file declares the limit."""

    code = Code.FAILED_PRECONDITION
    reason = "READ_ONLY_RESOURCE"


class InvalidPageTokenError(GatewayError):
    """The page token is not one that ListLimits returned."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_PAGE_TOKEN"


class NotImplementedYetError(GatewayError):
    """In the contract, not in this version."""

    code = Code.UNIMPLEMENTED
    reason = "NOT_IMPLEMENTED"


class StoreUnavailableError(GatewayError):
    """The store does not answer; whether it did what it was asked is unknown."""

    code = Code.UNAVAILABLE
    reason = "STORE_UNAVAILABLE"
