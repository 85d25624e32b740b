"""What the router tells its callers when it can't do what they ask.

GatewayError
├── ModelNotFoundError          NOT_FOUND            MODEL_NOT_FOUND
├── UnsupportedByTargetError    INVALID_ARGUMENT     UNSUPPORTED_BY_TARGET
├── ContextLengthExceededError  INVALID_ARGUMENT     CONTEXT_LENGTH_EXCEEDED
├── ProviderRejectedError       INVALID_ARGUMENT     PROVIDER_REJECTED
├── NoHealthyTargetError        UNAVAILABLE          NO_HEALTHY_TARGET
├── ProviderFailedError         UNAVAILABLE          PROVIDER_FAILED
├── KeyRevokedError             UNAUTHENTICATED      KEY_REVOKED
├── TooManyWrongKeysError       RESOURCE_EXHAUSTED   RATE_LIMITED
├── RequestInFlightError        ABORTED              REQUEST_IN_FLIGHT
├── IdempotencyMismatchError    INVALID_ARGUMENT     IDEMPOTENCY_MISMATCH
├── SlowClientError             ABORTED              SLOW_CLIENT
├── CallerCancelledError        CANCELLED            CANCELLED
└── NotImplementedYetError      UNIMPLEMENTED        NOT_IMPLEMENTED
"""

from services._runtime.errors import Code, GatewayError


class ModelNotFoundError(GatewayError):
    """The configuration knows no such model or alias."""

    code = Code.NOT_FOUND
    reason = "MODEL_NOT_FOUND"


class UnsupportedByTargetError(GatewayError):
    """No target of the model can serve what the request asks for."""

    code = Code.INVALID_ARGUMENT
    reason = "UNSUPPORTED_BY_TARGET"


class ContextLengthExceededError(GatewayError):
    """Prompt and answer do not fit any target's context window."""

    code = Code.INVALID_ARGUMENT
    reason = "CONTEXT_LENGTH_EXCEEDED"


class ProviderRejectedError(GatewayError):
    """The provider says that the request is at fault."""

    code = Code.INVALID_ARGUMENT
    reason = "PROVIDER_REJECTED"


class NoHealthyTargetError(GatewayError):
    """Every target failed before it produced anything, or rests."""

    code = Code.UNAVAILABLE
    reason = "NO_HEALTHY_TARGET"


class ProviderFailedError(GatewayError):
    """The last target failed after output had been sent; a retry would be billed again."""

    code = Code.UNAVAILABLE
    reason = "PROVIDER_FAILED"
    retryable = False


class KeyRevokedError(GatewayError):
    """The key was good, and its time is over."""

    code = Code.UNAUTHENTICATED
    reason = "KEY_REVOKED"
    retryable = False


class TooManyWrongKeysError(GatewayError):
    """The key is not known here, and wrong ones came from the same address or with its key id."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "RATE_LIMITED"


class RequestInFlightError(GatewayError):
    """The same request_id is being served."""

    code = Code.ABORTED
    reason = "REQUEST_IN_FLIGHT"


class IdempotencyMismatchError(GatewayError):
    """The same request_id is being served with another body."""

    code = Code.INVALID_ARGUMENT
    reason = "IDEMPOTENCY_MISMATCH"


class SlowClientError(GatewayError):
    """The client stopped reading its stream."""

    code = Code.ABORTED
    reason = "SLOW_CLIENT"
    retryable = False


class CallerCancelledError(GatewayError):
    """The caller cancelled."""

    code = Code.CANCELLED
    reason = "CANCELLED"


class NotImplementedYetError(GatewayError):
    """In the contract, not in this version."""

    code = Code.UNIMPLEMENTED
    reason = "NOT_IMPLEMENTED"
