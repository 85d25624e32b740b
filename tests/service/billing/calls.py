"""Requests as a router sends them, and refusals as it reads them."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from headgate.billing.v1 import billing_service_pb2 as pb
from headgate.billing.v1 import usage_pb2
from headgate.common.v1.caller_pb2 import Caller
from headgate.common.v1.outcome_pb2 import OUTCOME_COMPLETE
from headgate.common.v1.usage_pb2 import USAGE_SOURCE_PROVIDER, TokenUsage
from services._runtime.errors import GatewayError
from services._runtime.status import DETAILS_KEY, from_status

# gpt-4o: $2.50 and $10 per million tokens, cache reads at $1.25.
INPUT_NANOS, OUTPUT_NANOS, CACHED_NANOS = 2500, 10_000, 1250
END_SECONDS = 1_795_435_200


def authorize(hold_id: str, organization_id: str = "acme", **fields: Any) -> pb.AuthorizeRequest:
    values = {
        "caller": Caller(organization_id=organization_id),
        "candidates": [pb.Candidate(provider="openai", model="gpt-4o")],
        "input_tokens": 100,
        "max_output_tokens": 10,
    }
    return pb.AuthorizeRequest(hold_id=hold_id, **{**values, **fields})


def record(attempt_id: str, organization_id: str = "acme", **fields: Any) -> usage_pb2.UsageRecord:
    values = {
        "completion_id": f"completion-of-{attempt_id}",
        "caller": Caller(organization_id=organization_id),
        "provider": "openai",
        "model": "gpt-4o-2024-08-06",
        "usage": TokenUsage(
            input_tokens=100, output_tokens=10, cache_read_input_tokens=40, source=USAGE_SOURCE_PROVIDER
        ),
        "outcome": OUTCOME_COMPLETE,
        "start_time": Timestamp(seconds=END_SECONDS - 1),
        "end_time": Timestamp(seconds=END_SECONDS),
    }
    return usage_pb2.UsageRecord(attempt_id=attempt_id, **{**values, **fields})


RECORD_NANOS = 60 * INPUT_NANOS + 40 * CACHED_NANOS + 10 * OUTPUT_NANOS


def capture(hold_id: str, *records: usage_pb2.UsageRecord) -> pb.CaptureRequest:
    return pb.CaptureRequest(hold_id=hold_id, records=records)


def _answered(call: Callable[..., Any], request: Any) -> None:
    # A stream fails when it is read; a single answer is no iterator.
    answer = call(request, timeout=20)
    for _ in answer if isinstance(answer, Iterator) else ():
        pass


def refusal(call: Callable[..., Any], request: Any) -> GatewayError:
    """The error that the call ends with, as its details have it."""
    with pytest.raises(grpc.RpcError) as caught:
        _answered(call, request)
    trailing = dict(cast("grpc.Call", caught.value).trailing_metadata() or ())
    return from_status(status_pb2.Status.FromString(cast("bytes", trailing[DETAILS_KEY])))
