"""envoy.service.ratelimit.v3.RateLimitService: the contract that Envoy calls; its answer comes with a later version."""

from typing import Any, NoReturn

from envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceServicer
from services.ratelimit.errors import NotImplementedYetError

SERVICE = "envoy.service.ratelimit.v3.RateLimitService"


class EnvoyRateLimitServicer(RateLimitServiceServicer):
    """Refuses by the error table, so that Envoy and its operator are told why."""

    async def ShouldRateLimit(self, _request: Any, _context: Any) -> NoReturn:  # noqa: N802
        raise NotImplementedYetError("ShouldRateLimit is in the contract, and not in this version")
