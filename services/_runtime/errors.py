"""The one error that crosses process boundaries.

GatewayError
├── InternalError              INTERNAL           INTERNAL
├── InvalidFieldError          INVALID_ARGUMENT   INVALID_FIELD
├── DeadlineExceededError      DEADLINE_EXCEEDED  DEADLINE_EXCEEDED
├── PeerUnavailableError       UNAVAILABLE        PEER_UNAVAILABLE
├── OverloadedError            UNAVAILABLE        OVERLOADED
├── MessageTooLargeError       RESOURCE_EXHAUSTED INTERNAL
├── MissingCredentialsError    UNAUTHENTICATED    MISSING_CREDENTIALS
├── InvalidTokenError          UNAUTHENTICATED    INVALID_KEY
└── each service's own kinds, in its `errors.py`
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """The gRPC status codes that are errors, by name."""

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A request field (`messages[2].parts[0].text`) and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class QuotaViolation:
    """What was exhausted (`limit:tokens-per-minute`) and how."""

    subject: str
    description: str


class GatewayError(Exception):
    """A failure with everything that its caller is told.

    A subclass names its kind by `code` and `reason`; `reason` is a name of the contract's ErrorReason without its
    prefix. `retry_after_seconds` says when a retry may succeed, `retryable = False` that none may be made.
    `domain` is empty until the error was read from a peer: then it says whose error it is.
    """

    code: Code = Code.INTERNAL
    reason: str = "INTERNAL"
    retryable: bool = True
    domain: str = ""

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        field_violations: Sequence[FieldViolation] = (),
        quota_violations: Sequence[QuotaViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.field_violations = tuple(field_violations)
        self.quota_violations = tuple(quota_violations)
        self.metadata = dict(metadata or {})
        if retryable is not None:
            self.retryable = retryable


class InternalError(GatewayError):
    """A defect of this process; the request id finds it in the log."""


class InvalidFieldError(GatewayError):
    """A request field breaks a rule of the contract."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_FIELD"


class DeadlineExceededError(GatewayError):
    """The time that the caller gave has passed."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class PeerUnavailableError(GatewayError):
    """A peer could not be reached."""

    code = Code.UNAVAILABLE
    reason = "PEER_UNAVAILABLE"


class OverloadedError(GatewayError):
    """The process has no room for the request now."""

    code = Code.UNAVAILABLE
    reason = "OVERLOADED"


class MessageTooLargeError(GatewayError):
    """The response is larger than this installation's messages may be."""

    code = Code.RESOURCE_EXHAUSTED


class MissingCredentialsError(GatewayError):
    """The call carries no `authorization: Bearer …`."""

    code = Code.UNAUTHENTICATED
    reason = "MISSING_CREDENTIALS"


class InvalidTokenError(GatewayError):
    """The call's token is not the one that this installation's services share."""

    code = Code.UNAUTHENTICATED
    reason = "INVALID_KEY"
