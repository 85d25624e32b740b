"""What the cache refuses.

GatewayError
├── StoreUnavailableError   UNAVAILABLE     STORE_UNAVAILABLE
└── NotInThisVersionError   UNIMPLEMENTED   NOT_IMPLEMENTED
"""

from services._runtime.errors import Code, GatewayError


class StoreUnavailableError(GatewayError):
    """The store does not answer in time, or takes nothing."""

    code = Code.UNAVAILABLE
    reason = "STORE_UNAVAILABLE"


class NotInThisVersionError(GatewayError):
    """In the contract, not in this version."""

    code = Code.UNIMPLEMENTED
    reason = "NOT_IMPLEMENTED"
    retryable = False
