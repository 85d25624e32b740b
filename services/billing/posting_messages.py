"""Authorize, Capture and Void between the contract's messages and the domain's operations."""

from collections.abc import Iterable
from typing import Any, TypeVar

from google.rpc import status_pb2

from headgate.billing.v1 import billing_service_pb2 as pb
from services._runtime.errors import GatewayError
from services._runtime.status import to_status
from services.billing.books import Authorize, Authorized, Capture, Captured, Result, Void, Voided
from services.billing.usage import NS_PER_SECOND, Caller
from services.billing.usage_messages import CALLER_FIELDS, read_record, require_texts, text, write_cost

DOMAIN = "billing.headgate"
DEFAULT_HOLD_NS = 3600 * 10**9
_TEXT_FIELDS = (*CALLER_FIELDS, "hold_id")
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
    hold_id, caller = message.hold_id, message.caller
    texts = (caller.organization_id, caller.user_id, caller.key_id, hold_id)
    require_texts(texts, _TEXT_FIELDS, "")
    return Authorize(
        hold_id=hold_id,
        caller=Caller(*texts[:3]),
        candidates=tuple([(candidate.provider, candidate.model) for candidate in message.candidates]),
        input_tokens=message.input_tokens,
        max_output_tokens=message.max_output_tokens,
        ttl_ns=message.ttl.ToNanoseconds() if message.HasField("ttl") else DEFAULT_HOLD_NS,
    )


def write_authorized(message: pb.AuthorizeResponse, result: Authorized) -> None:
    message.amount_nanos = result.amount_nanos
    expire_time = message.expire_time
    expire_time.seconds, expire_time.nanos = divmod(result.expire_ns, NS_PER_SECOND)


def write_authorize_results(results: Iterable[Result | GatewayError], into: Any) -> None:
    for result in results:
        message = into.add()
        if isinstance(result, GatewayError):
            message.error.CopyFrom(status(result))
        else:
            write_authorized(message.response, succeeded(result, Authorized))


def read_capture(message: pb.CaptureRequest) -> Capture:
    """:raises InvalidFieldError: a time or text that can't be kept."""
    if message.from_checkpoint:
        for record in message.records:
            record.labels["headgate/from-checkpoint"] = "true"
    records = [read_record(record, f"records[{index}].") for index, record in enumerate(message.records)]
    return Capture(text(message.hold_id, "hold_id"), tuple(records), message.from_checkpoint)


def write_captured(message: pb.CaptureResponse, result: Captured) -> None:
    total = 0
    for cost in result.costs:
        write_cost(message.costs.add(), cost)
        total += cost.nanos
    message.total_nanos = total
    message.hold_captured = result.hold_captured


def write_capture_results(results: Iterable[Result | GatewayError], into: Any) -> None:
    for result in results:
        message = into.add()
        if isinstance(result, GatewayError):
            message.error.CopyFrom(status(result))
        else:
            write_captured(message.response, succeeded(result, Captured))


def read_void(message: pb.VoidRequest) -> Void:
    return Void(text(message.hold_id, "hold_id"))


def write_record_results(results: Iterable[Result | GatewayError], into: Any) -> None:
    for result in results:
        message = into.add()
        if isinstance(result, GatewayError):
            message.error.CopyFrom(status(result))
        else:
            write_cost(message.cost, succeeded(result, Captured).costs[0])
