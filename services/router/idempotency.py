"""Requests in flight by the caller's own id, so that a retry does not run beside its first try."""

import hashlib

from headgate.router.v1 import completion_pb2
from services._runtime.errors import FieldViolation
from services.router.errors import IdempotencyMismatchError, RequestInFlightError


class InFlight:
    """The ids that this process is serving, per organisation, with a digest of each one's body."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, str], bytes] = {}

    def enter(self, organization_id: str, request: completion_pb2.CompletionRequest) -> None:
        """:raises GatewayError: REQUEST_IN_FLIGHT or IDEMPOTENCY_MISMATCH."""
        if not request.request_id:
            return
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        earlier = self._digests.setdefault((organization_id, request.request_id), digest)
        if earlier is digest:
            return
        if earlier == digest:
            raise RequestInFlightError(
                f"request_id `{request.request_id}` is being served; wait for its answer"
            )
        raise IdempotencyMismatchError(
            f"request_id `{request.request_id}` is being served with another body",
            field_violations=[FieldViolation("request_id", "use a new id for a new body")],
        )

    def leave(self, organization_id: str, request: completion_pb2.CompletionRequest) -> None:
        if request.request_id:
            self._digests.pop((organization_id, request.request_id), None)
