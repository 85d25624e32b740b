"""The health service with its third RPC, which the library's servicer leaves out."""

from typing import Any

from grpc_health.v1 import health, health_pb2


class HealthServicer(health.aio.HealthServicer):  # type: ignore[misc]  # the library has no types
    """grpc.health.v1.Health."""

    async def List(  # noqa: N802
        self, _request: health_pb2.HealthListRequest, _context: Any
    ) -> health_pb2.HealthListResponse:
        statuses = {
            name: health_pb2.HealthCheckResponse(status=status)
            for name, status in self._server_status.items()
        }
        return health_pb2.HealthListResponse(statuses=statuses)
