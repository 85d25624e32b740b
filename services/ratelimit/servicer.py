"""headgate.ratelimit.v1.RateLimitService over the limiter and the book of limits: translation, and nothing else."""

# ruff: noqa: N802, ARG002 - the methods are named and called as the contract has them

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceServicer
from services._runtime.batch_items import for_valid_items
from services._runtime.errors import GatewayError
from services._runtime.status import to_status
from services.ratelimit.book import LimitBook
from services.ratelimit.bucket import Standing
from services.ratelimit.limiter import Limiter
from services.ratelimit.translation import (
    from_limit,
    from_standing,
    to_caller,
    to_limit,
    to_request,
    to_settlement,
    to_us,
)

SERVICE = "headgate.ratelimit.v1.RateLimitService"
# Only routers call these, and their items are validated here, each by itself.
TRUSTED_METHODS = frozenset(f"/{SERVICE}/{name}" for name in ("BatchReserve", "BatchSettle", "Exchange"))
_DOMAIN = "ratelimit.headgate"

_Outcome = tuple[Standing, ...] | GatewayError


class RateLimitServicer(RateLimitServiceServicer):
    """`clock_ns` tells nanoseconds since 1970."""

    def __init__(self, limiter: Limiter, book: LimitBook, clock_ns: Callable[[], int]) -> None:
        self._limiter = limiter
        self._book = book
        self._clock_ns = clock_ns

    async def Reserve(self, request: pb.ReserveRequest, context: Any) -> pb.ReserveResponse:
        (outcome,) = await self._reserve([request])
        return _response(_raised(outcome))

    async def BatchReserve(self, request: pb.BatchReserveRequest, context: Any) -> pb.BatchReserveResponse:
        outcomes = await for_valid_items(request, self._reserve)
        return pb.BatchReserveResponse(results=map(_reserve_result, outcomes))

    async def Settle(self, request: pb.SettleRequest, context: Any) -> pb.SettleResponse:
        (settled,) = await self._settle([request])
        return pb.SettleResponse(settled=settled)

    async def BatchSettle(self, request: pb.BatchSettleRequest, context: Any) -> pb.BatchSettleResponse:
        outcomes = await for_valid_items(request, self._settle)
        return pb.BatchSettleResponse(results=map(_settle_result, outcomes))

    async def Exchange(self, request: pb.ExchangeRequest, context: Any) -> pb.ExchangeResponse:  # type: ignore[override]
        response = pb.ExchangeResponse()
        if request.HasField("settle"):
            response.settle.CopyFrom(await self.BatchSettle(request.settle, context))
        if request.HasField("reserve"):
            response.reserve.CopyFrom(await self.BatchReserve(request.reserve, context))
        return response

    async def Release(self, request: pb.ReleaseRequest, context: Any) -> pb.ReleaseResponse:
        released = await self._limiter.release(to_caller(request.caller), request.reservation_id)
        return pb.ReleaseResponse(released=released)

    async def Renew(self, request: pb.RenewRequest, context: Any) -> pb.RenewResponse:
        ttl_us = to_us(request.ttl)
        await self._limiter.renew(to_caller(request.caller), request.reservation_id, ttl_us)
        expire_time = Timestamp()
        expire_time.FromNanoseconds(self._clock_ns() + ttl_us * 1000)
        return pb.RenewResponse(expire_time=expire_time)

    async def Peek(self, request: pb.PeekRequest, context: Any) -> pb.PeekResponse:
        caller = to_caller(request.caller)
        standings = await self._limiter.peek(caller, request.model, request.labels)
        return pb.PeekResponse(statuses=map(from_standing, standings))

    async def SetLimit(self, request: pb.SetLimitRequest, context: Any) -> pb.SetLimitResponse:
        limit = await self._book.put(to_limit(request.limit))
        return pb.SetLimitResponse(limit=from_limit(limit))

    async def GetLimit(self, request: pb.GetLimitRequest, context: Any) -> pb.GetLimitResponse:
        return pb.GetLimitResponse(limit=from_limit(await self._book.get(request.limit_id)))

    async def ListLimits(self, request: pb.ListLimitsRequest, context: Any) -> pb.ListLimitsResponse:
        limits, token = await self._book.page(request.page_size, request.page_token)
        return pb.ListLimitsResponse(limits=map(from_limit, limits), next_page_token=token)

    async def DeleteLimit(self, request: pb.DeleteLimitRequest, context: Any) -> pb.DeleteLimitResponse:
        await self._book.delete(request.limit_id, request.etag)
        return pb.DeleteLimitResponse()

    async def _reserve(self, requests: Sequence[pb.ReserveRequest]) -> Sequence[_Outcome]:
        return await self._limiter.reserve([to_request(request) for request in requests])

    async def _settle(self, requests: Sequence[pb.SettleRequest]) -> Sequence[bool]:
        return await self._limiter.settle([to_settlement(request) for request in requests])


def _raised(outcome: _Outcome) -> tuple[Standing, ...]:
    if isinstance(outcome, GatewayError):
        raise outcome
    return outcome


def _response(standings: Sequence[Standing]) -> pb.ReserveResponse:
    return pb.ReserveResponse(statuses=map(from_standing, standings))


def _reserve_result(outcome: _Outcome) -> pb.ReserveResult:
    if isinstance(outcome, GatewayError):
        return pb.ReserveResult(error=to_status(outcome, _DOMAIN))
    return pb.ReserveResult(response=_response(outcome))


def _settle_result(outcome: bool | GatewayError) -> pb.SettleResult:
    if isinstance(outcome, GatewayError):
        return pb.SettleResult(error=to_status(outcome, _DOMAIN))
    return pb.SettleResult(response=pb.SettleResponse(settled=outcome))
