"""GatewayError <-> google.rpc.Status: the wire form of an error, at most 4 KB."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from services._runtime.errors import Code, FieldViolation, GatewayError, QuotaViolation

DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
MAX_STATUS_BYTES = 4096

# Metadata carries base64 and a message of its own beside the Status, so texts are kept far below the cap.
_MAX_MESSAGE_BYTES = 1024
_MAX_TEXT_BYTES = 256
_MAX_METADATA_ENTRIES = 8
_ELLIPSIS = "…"

GRPC_CODES = {code: grpc.StatusCode[code.name] for code in Code}
CODES = {grpc_code: code for code, grpc_code in GRPC_CODES.items()}
CODES_BY_NUMBER = {grpc_code.value[0]: code for code, grpc_code in GRPC_CODES.items()}

# The reason of a peer's error that came without details, because gRPC itself or something between made it.
_BARE_REASONS = {
    Code.CANCELLED: "CANCELLED",
    Code.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    Code.NOT_FOUND: "NOT_FOUND",
    Code.PERMISSION_DENIED: "PERMISSION_DENIED",
    Code.UNAUTHENTICATED: "MISSING_CREDENTIALS",
    Code.UNAVAILABLE: "PEER_UNAVAILABLE",
    Code.UNIMPLEMENTED: "NOT_IMPLEMENTED",
}


@dataclass(frozen=True, slots=True)
class WireError:
    """What a server hands to gRPC: code, message and trailing metadata."""

    code: grpc.StatusCode
    message: str
    trailing: tuple[tuple[str, str | bytes], ...]


def to_wire(error: GatewayError, domain: str) -> WireError:
    status = to_status(error, domain)
    trailing: list[tuple[str, str | bytes]] = [(DETAILS_KEY, status.SerializeToString())]
    if not error.retryable:
        trailing.append((PUSHBACK_KEY, "-1"))
    return WireError(GRPC_CODES[error.code], status.message, tuple(trailing))


def to_status(error: GatewayError, domain: str) -> status_pb2.Status:
    """One ErrorInfo, and BadRequest, QuotaFailure and RetryInfo where the error has their content.

    A text that is too long ends in `…`; violations that do not fit are replaced by one that counts them.
    """
    status = status_pb2.Status(
        code=GRPC_CODES[error.code].value[0], message=_cut(error.message, _MAX_MESSAGE_BYTES)
    )
    status.details.add().Pack(_error_info(error, error.domain or domain))
    if error.retry_after_seconds is not None:
        status.details.add().Pack(_retry_info(error.retry_after_seconds))
    _pack_violations(status, error)
    return status


def from_status(status: status_pb2.Status) -> GatewayError:
    code = CODES_BY_NUMBER.get(status.code, Code.UNKNOWN)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    bad, quota = error_details_pb2.BadRequest(), error_details_pb2.QuotaFailure()
    present = {detail.TypeName() for detail in status.details if _unpacked(detail, (info, retry, bad, quota))}
    has_retry = retry.DESCRIPTOR.full_name in present
    error = GatewayError(
        status.message,
        retry_after_seconds=retry.retry_delay.ToNanoseconds() / 1e9 if has_retry else None,
        field_violations=[FieldViolation(v.field, v.description) for v in bad.field_violations],
        quota_violations=[QuotaViolation(v.subject, v.description) for v in quota.violations],
        metadata=dict(info.metadata),
    )
    error.code, error.reason, error.domain = code, info.reason or GatewayError.reason, info.domain
    return error


def _unpacked(detail: Any, parts: Sequence[Message]) -> bool:
    return any(detail.Unpack(part) for part in parts)


def from_rpc_error(rpc_error: grpc.aio.AioRpcError) -> GatewayError:
    """A peer's failure as the error it raised, or one made of its bare status code when it gave no details."""
    trailing: dict[str, Any] = dict(rpc_error.trailing_metadata() or ())
    error = _detailed(trailing.get(DETAILS_KEY)) or _bare(rpc_error)
    if trailing.get(PUSHBACK_KEY) == "-1":
        error.retryable = False
    return error


def _detailed(details: bytes | None) -> GatewayError | None:
    if details is None:
        return None
    try:
        return from_status(status_pb2.Status.FromString(details))
    except DecodeError:
        return None


def _bare(rpc_error: grpc.aio.AioRpcError) -> GatewayError:
    error = GatewayError(rpc_error.details() or rpc_error.code().name)
    error.code = CODES.get(rpc_error.code(), Code.UNKNOWN)
    error.reason = _BARE_REASONS.get(error.code, "INTERNAL")
    return error


def _error_info(error: GatewayError, domain: str) -> error_details_pb2.ErrorInfo:
    kept = list(error.metadata.items())[:_MAX_METADATA_ENTRIES]
    return error_details_pb2.ErrorInfo(
        reason=_cut(error.reason, 63),
        domain=_cut(domain, 63),
        metadata={_cut(key, 64): _cut(value, 96) for key, value in kept},
    )


def _retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromNanoseconds(max(0, round(seconds * 1e9)))
    return info


def _pack_violations(status: status_pb2.Status, error: GatewayError) -> None:
    # Field and quota violations may stand together: the first may use only half of the room left.
    room = MAX_STATUS_BYTES - status.ByteSize() - 256
    if error.quota_violations:
        share = room // 2 if error.field_violations else room
        pairs = [(v.subject, v.description) for v in error.quota_violations]
        quota = error_details_pb2.QuotaFailure()
        for subject, description in _fitting(pairs, share):
            quota.violations.add(subject=subject, description=description)
        status.details.add().Pack(quota)
        room -= quota.ByteSize()
    if error.field_violations:
        pairs = [(v.field, v.description) for v in error.field_violations]
        bad = error_details_pb2.BadRequest()
        for field, description in _fitting(pairs, room):
            bad.field_violations.add(field=field, description=description)
        status.details.add().Pack(bad)


def _fitting(pairs: list[tuple[str, str]], room_bytes: int) -> list[tuple[str, str]]:
    kept: list[tuple[str, str]] = []
    for name, description in pairs:
        pair = (_cut(name, _MAX_TEXT_BYTES), _cut(description, _MAX_TEXT_BYTES))
        room_bytes -= len(pair[0].encode()) + len(pair[1].encode()) + 10
        if room_bytes < 0:
            return [*kept, ("", f"and {len(pairs) - len(kept)} more")]
        kept.append(pair)
    return kept


def _cut(text: str, max_bytes: int) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - len(_ELLIPSIS.encode())].decode("utf-8", "ignore") + _ELLIPSIS
