"""What billing refuses.

GatewayError
├── StoreUnavailableError      UNAVAILABLE          STORE_UNAVAILABLE
├── NotInThisVersionError      UNIMPLEMENTED        NOT_IMPLEMENTED
├── InvalidPageTokenError      INVALID_ARGUMENT     INVALID_PAGE_TOKEN
├── HoldMismatchError          INVALID_ARGUMENT     IDEMPOTENCY_MISMATCH
├── UnknownResourceError       NOT_FOUND            NOT_FOUND
├── ResourceExistsError        ALREADY_EXISTS       ALREADY_EXISTS
├── EtagMismatchError          ABORTED              ETAG_MISMATCH
├── ReadOnlyResourceError      FAILED_PRECONDITION  READ_ONLY_RESOURCE
├── AlreadyResolvedError       FAILED_PRECONDITION  ALREADY_RESOLVED
├── UnpricedModelError         FAILED_PRECONDITION  UNPRICED_MODEL
├── UsageConflictError         FAILED_PRECONDITION  USAGE_CONFLICT
├── BudgetExceededError        RESOURCE_EXHAUSTED   BUDGET_EXCEEDED
├── InvalidKeyError            UNAUTHENTICATED      INVALID_KEY
└── KeyRevokedError            UNAUTHENTICATED      KEY_REVOKED
"""

from services._runtime.errors import Code, GatewayError


class StoreUnavailableError(GatewayError):
    """The database does not answer; what was asked may have been done or not, and may be asked again."""

    code = Code.UNAVAILABLE
    reason = "STORE_UNAVAILABLE"


class NotInThisVersionError(GatewayError):
    """In the contract, not in this version."""

    code = Code.UNIMPLEMENTED
    reason = "NOT_IMPLEMENTED"
    retryable = False


class InvalidPageTokenError(GatewayError):
    """Not a token that this method gave for this query."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_PAGE_TOKEN"


class HoldMismatchError(GatewayError):
    """A hold of that id was asked for before, with other content."""

    code = Code.INVALID_ARGUMENT
    reason = "IDEMPOTENCY_MISMATCH"


class UnknownResourceError(GatewayError):
    code = Code.NOT_FOUND
    reason = "NOT_FOUND"


class ResourceExistsError(GatewayError):
    code = Code.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class EtagMismatchError(GatewayError):
    code = Code.ABORTED
    reason = "ETAG_MISMATCH"


class ReadOnlyResourceError(GatewayError):
    code = Code.FAILED_PRECONDITION
    reason = "READ_ONLY_RESOURCE"


class AlreadyResolvedError(GatewayError):
    code = Code.FAILED_PRECONDITION
    reason = "ALREADY_RESOLVED"
    retryable = False


class UnpricedModelError(GatewayError):
    code = Code.FAILED_PRECONDITION
    reason = "UNPRICED_MODEL"
    retryable = False


class UsageConflictError(GatewayError):
    code = Code.FAILED_PRECONDITION
    reason = "USAGE_CONFLICT"
    retryable = False


class BudgetExceededError(GatewayError):
    code = Code.RESOURCE_EXHAUSTED
    reason = "BUDGET_EXCEEDED"


class InvalidKeyError(GatewayError):
    """Unknown or wrong; which of them is not told."""

    code = Code.UNAUTHENTICATED
    reason = "INVALID_KEY"
    retryable = False


class KeyRevokedError(GatewayError):
    """The secret was right, but the key has ended."""

    code = Code.UNAUTHENTICATED
    reason = "KEY_REVOKED"
    retryable = False
