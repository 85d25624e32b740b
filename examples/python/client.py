"""Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason."""

import sys

import grpc
from complete import complete
from hang_up import hang_up
from refusal import explain
from stream import stream

from headgate.router.v1 import router_service_pb2_grpc


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
