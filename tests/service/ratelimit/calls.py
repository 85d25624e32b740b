"""Requests as a router sends them, and refusals as it reads them."""

from collections.abc import Callable
from typing import Any, cast

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import status_pb2

from headgate.common.v1.caller_pb2 import Caller
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from services._runtime.errors import GatewayError
from services._runtime.status import DETAILS_KEY, from_status


def caller(organization_id: str, key_id: str = "") -> Caller:
    return Caller(organization_id=organization_id, key_id=key_id)


def reserve(
    reservation_id: str,
    organization_id: str,
    *,
    requests: int = 0,
    input_tokens: int = 0,
    model: str = "",
) -> pb.ReserveRequest:
    return pb.ReserveRequest(
        reservation_id=reservation_id,
        caller=caller(organization_id),
        model=model,
        amounts=pb.Amounts(requests=requests, input_tokens=input_tokens),
    )


def settle(reservation_id: str, organization_id: str, *, requests: int = 0) -> pb.SettleRequest:
    return pb.SettleRequest(
        reservation_id=reservation_id,
        caller=caller(organization_id),
        amounts=pb.Amounts(requests=requests),
    )


def hourly(limit_id: str, organization_id: str, maximum: int, **fields: Any) -> limit_pb2.Limit:
    """At most so many requests of the organisation in an hour."""
    return limit_pb2.Limit(
        limit_id=limit_id,
        selector=limit_pb2.Selector(organization_id=organization_id),
        metric=limit_pb2.METRIC_REQUESTS,
        sliding_window=limit_pb2.SlidingWindow(maximum=maximum, window=Duration(seconds=3600)),
        **fields,
    )


def refusal(call: Callable[..., Any], request: Any) -> GatewayError:
    """The error that the call ends with, as its details have it."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20)
    metadata = dict(cast("Any", caught.value).trailing_metadata())
    error = from_status(status_pb2.Status.FromString(metadata[DETAILS_KEY]))
    error.retryable = metadata.get("grpc-retry-pushback-ms") != "-1"
    return error


def fields(error: GatewayError) -> list[str]:
    return [violation.field for violation in error.field_violations]
