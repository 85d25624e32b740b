"""Authorize, Capture and Void between the contract's messages and the domain's operations."""

from typing import TypeVar

from google.rpc import status_pb2

from headgate.billing.v1 import billing_service_pb2 as pb
from services._runtime.errors import GatewayError
from services._runtime.status import to_status
from services.billing.books import Authorize, Authorized, Capture, Captured, Result, Void, Voided
from services.billing.usage_messages import cost_message, read_caller, read_record, text, timestamp

DOMAIN = "billing.headgate"
DEFAULT_HOLD_NS = 3600 * 10**9
_R = TypeVar("_R", Authorized, Captured, Voided)


def succeeded(result: Result | GatewayError, kind: type[_R]) -> _R:
    """The result; a refusal is raised."""
    if isinstance(result, GatewayError):
        raise result
    assert isinstance(result, kind)  # noqa: S101 - the store answers in the order that it was asked
    return result


def status(error: GatewayError) -> status_pb2.Status:
    return to_status(error, DOMAIN)


def read_authorize(message: pb.AuthorizeRequest) -> Authorize:
    """:raises InvalidFieldError: a text that can't be kept."""
    ttl = message.ttl.ToNanoseconds() if message.HasField("ttl") else DEFAULT_HOLD_NS
    return Authorize(
        hold_id=text(message.hold_id, "hold_id"),
        caller=read_caller(message.caller, "caller"),
        candidates=tuple((candidate.provider, candidate.model) for candidate in message.candidates),
        input_tokens=message.input_tokens,
        max_output_tokens=message.max_output_tokens,
        ttl_ns=ttl,
    )


def authorized_message(result: Authorized) -> pb.AuthorizeResponse:
    return pb.AuthorizeResponse(amount_nanos=result.amount_nanos, expire_time=timestamp(result.expire_ns))


def authorize_result(result: Result | GatewayError) -> pb.AuthorizeResult:
    if isinstance(result, GatewayError):
        return pb.AuthorizeResult(error=status(result))
    return pb.AuthorizeResult(response=authorized_message(succeeded(result, Authorized)))


def read_capture(message: pb.CaptureRequest) -> Capture:
    """:raises InvalidFieldError: a time or text that can't be kept."""
    records = (read_record(record, f"records[{index}].") for index, record in enumerate(message.records))
    return Capture(text(message.hold_id, "hold_id"), tuple(records))


def captured_message(result: Captured) -> pb.CaptureResponse:
    return pb.CaptureResponse(
        costs=[cost_message(cost) for cost in result.costs],
        total_nanos=sum(cost.nanos for cost in result.costs),
        hold_captured=result.hold_captured,
    )


def capture_result(result: Result | GatewayError) -> pb.CaptureResult:
    if isinstance(result, GatewayError):
        return pb.CaptureResult(error=status(result))
    return pb.CaptureResult(response=captured_message(succeeded(result, Captured)))


def read_void(message: pb.VoidRequest) -> Void:
    return Void(text(message.hold_id, "hold_id"))


def record_result(result: Result | GatewayError) -> pb.RecordUsageResult:
    if isinstance(result, GatewayError):
        return pb.RecordUsageResult(error=status(result))
    return pb.RecordUsageResult(cost=cost_message(succeeded(result, Captured).costs[0]))
