"""Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason."""

import os
import sys

import grpc
from google.rpc import error_details_pb2, status_pb2

from headgate.router.v1 import completion_pb2, router_service_pb2_grpc

REQUEST = completion_pb2.CompletionRequest(model="fast", prompt="Why is the sky blue?")
METADATA = (("authorization", f"Bearer {os.environ['KEY']}"),)


def complete(router: router_service_pb2_grpc.RouterServiceStub) -> None:
    completion, call = router.Complete.with_call(REQUEST, metadata=METADATA)
    for part in completion.choices[0].message.parts:
        print(part.text)
    trailer = dict(call.trailing_metadata())
    for name in ("x-request-id", "x-cache", "x-headgate-cost-nanos"):
        print(name, trailer[name], sep=": ")


def hang_up(router: router_service_pb2_grpc.RouterServiceStub) -> None:
    events = router.StreamComplete(REQUEST, metadata=METADATA)
    text = next(event.delta.text for event in events if event.delta.text)
    events.cancel()
    print("hung up after:", text)


def stream(router: router_service_pb2_grpc.RouterServiceStub) -> None:
    for event in router.StreamComplete(REQUEST, metadata=METADATA):
        print(event.delta.text, end="", flush=True)
        if event.HasField("finished"):
            end = event.finished
            print(f"\n{end.usage.total_tokens} tokens, {end.cost.amount_nanos} nano-USD")


def explain(error: grpc.RpcError) -> None:
    print(f"{error.code().name}: {error.details()}", file=sys.stderr)
    trailer = {entry.key: entry.value for entry in error.trailing_metadata()}
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(trailer.get("grpc-status-details-bin", b"")).details:
        if detail.Unpack(info):
            print("reason:", info.reason, file=sys.stderr)
        if detail.Unpack(retry):
            print(f"again in: {retry.retry_delay.ToTimedelta().total_seconds():.1f} s", file=sys.stderr)


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        router = router_service_pb2_grpc.RouterServiceStub(channel)
        try:
            complete(router)
            hang_up(router)
            stream(router)
        except grpc.RpcError as error:
            explain(error)
            sys.exit(1)


if __name__ == "__main__":
    main()
