"""A whole answer, and the metadata that trails it."""

from asking import METADATA, REQUEST

from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub


def complete(router: RouterServiceStub) -> None:
    completion, call = router.Complete.with_call(REQUEST, metadata=METADATA)
    for part in completion.choices[0].message.parts:
        print(part.text)
    trailer = dict(call.trailing_metadata())
    for name in ("x-request-id", "x-cache", "x-headgate-cost-nanos"):
        print(name, trailer[name], sep=": ")
