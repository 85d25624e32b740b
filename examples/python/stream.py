"""An answer while it is produced. Its last event says what it used and what it cost."""

from asking import METADATA, REQUEST

from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub


def stream(router: RouterServiceStub) -> None:
    for event in router.StreamComplete(REQUEST, metadata=METADATA):
        print(event.delta.text, end="", flush=True)
        if event.HasField("finished"):
            end = event.finished
            print(f"\n{end.usage.total_tokens} tokens, {end.cost.amount_nanos} nano-USD")
