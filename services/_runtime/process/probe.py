"""Asks a server for its health once: `python -m services._runtime.process.probe HOST:PORT [SERVICE]`; 0 when it serves."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services._runtime.direct import open_cleartext

_TIMEOUT_SECONDS = 3.0
_USAGE = 2


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        return _tell("usage: probe HOST:PORT [SERVICE]", _USAGE)
    address, service = (*arguments, "")[:2]
    try:
        status = ask(address, service)
    except grpc.RpcError as error:
        return _tell(f"{address}: {error.code().name}: {error.details()}", 1)
    serves = status == health_pb2.HealthCheckResponse.SERVING
    return _tell(health_pb2.HealthCheckResponse.ServingStatus.Name(status), 0 if serves else 1)


def ask(address: str, service: str) -> int:
    """The health of `service`, empty for the whole server.

    :raises grpc.RpcError: NOT_FOUND, it knows no such service; UNAVAILABLE or DEADLINE_EXCEEDED, it does not answer.
    """
    with open_cleartext(address, [("grpc.enable_retries", 0)]) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_TIMEOUT_SECONDS)
        return int(answer.status)


def _tell(line: str, code: int) -> int:
    print(line)  # noqa: T201 - container engines keep what a health check printed
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
