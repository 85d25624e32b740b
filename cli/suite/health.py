"""Whether a service says that it serves, by grpc.health.v1."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cli.errors import CommandError
from services._runtime.direct import open_cleartext


def await_serving(service: str, address: str, timeout_seconds: float) -> None:
    """:raises CommandError: it does not serve in time"""
    with open_cleartext(f"dns:///{address}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answers = stub.Watch(
                health_pb2.HealthCheckRequest(), timeout=timeout_seconds, wait_for_ready=True
            )
            for answer in answers:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    answers.cancel()
                    return
        except grpc.RpcError as error:
            raise CommandError(f"{service} does not serve at {address}: {error.code().name}") from None
