"""A status carries its reason, and where a limit refused, the time to wait."""

import sys

import grpc
from google.rpc import error_details_pb2, status_pb2


def explain(error: grpc.RpcError) -> None:
    print(f"{error.code().name}: {error.details()}", file=sys.stderr)
    trailer = {entry.key: entry.value for entry in error.trailing_metadata()}
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(trailer.get("grpc-status-details-bin", b"")).details:
        if detail.Unpack(info):
            print("reason:", info.reason, file=sys.stderr)
        if detail.Unpack(retry):
            print(f"again in: {retry.retry_delay.ToTimedelta().total_seconds():.1f} s", file=sys.stderr)
