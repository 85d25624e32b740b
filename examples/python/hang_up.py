"""A cancelled stream closes the request at the provider; what was produced by then is billed."""

from asking import METADATA, REQUEST

from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub


def hang_up(router: RouterServiceStub) -> None:
    events = router.StreamComplete(REQUEST, metadata=METADATA)
    text = next(event.delta.text for event in events if event.delta.text)
    events.cancel()
    print("hung up after:", text)
