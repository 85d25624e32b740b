"""headgate.ratelimit.v1.RateLimitService over the limiter and the book of limits: translation, and nothing else."""

# ruff: noqa: N802, ARG002 - the methods are named and called as the contract has them

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceServicer
from services._runtime.errors import GatewayError
from services._runtime.rpc.batch_items import batch_items, exchanged_items
from services._runtime.status import to_status
from services.ratelimit.book import LimitBook
from services.ratelimit.bucket import Standing
from services.ratelimit.limiter import Limiter
from services.ratelimit.translation import (
    add_standings,
    from_limit,
    to_caller,
    to_choice,
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
        (outcome,) = await self._limiter.reserve([to_request(request)])
        response = pb.ReserveResponse()
        add_standings(_raised(outcome), response.statuses)
        return response

    async def BatchReserve(self, request: pb.BatchReserveRequest, context: Any) -> pb.BatchReserveResponse:
        items, response = batch_items(request), pb.BatchReserveResponse()
        outcomes = await self._limiter.reserve([to_request(item) for item in items.valid])
        _add_reserved(items.in_order(outcomes), response.results)
        return response

    async def Settle(self, request: pb.SettleRequest, context: Any) -> pb.SettleResponse:
        (settled,) = await self._limiter.settle([to_settlement(request)])
        return pb.SettleResponse(settled=settled)

    async def BatchSettle(self, request: pb.BatchSettleRequest, context: Any) -> pb.BatchSettleResponse:
        items, response = batch_items(request), pb.BatchSettleResponse()
        settled = await self._limiter.settle([to_settlement(item) for item in items.valid])
        _add_settled(items.in_order(settled), response.results)
        return response

    async def Exchange(self, request: pb.ExchangeRequest, context: Any) -> pb.ExchangeResponse:  # type: ignore[override]
        ended, asked = exchanged_items(request, "settle", "reserve")
        settled, outcomes = await self._limiter.exchange(
            [to_settlement(item) for item in ended.valid], [to_request(item) for item in asked.valid]
        )
        response = pb.ExchangeResponse()
        _add_settled(ended.in_order(settled), response.settle.results)
        _add_reserved(asked.in_order(outcomes), response.reserve.results)
        return response

    async def Release(self, request: pb.ReleaseRequest, context: Any) -> pb.ReleaseResponse:
        released = await self._limiter.release(to_caller(request.caller), request.reservation_id)
        return pb.ReleaseResponse(released=released)

    async def Renew(self, request: pb.RenewRequest, context: Any) -> pb.RenewResponse:
        ttl_us = to_us(request.ttl)
        await self._limiter.renew(to_caller(request.caller), request.reservation_id, ttl_us)
        seconds, nanos = divmod(self._clock_ns() + ttl_us * 1000, 1_000_000_000)
        return pb.RenewResponse(expire_time=Timestamp(seconds=seconds, nanos=nanos))

    async def Peek(self, request: pb.PeekRequest, context: Any) -> pb.PeekResponse:
        models = sorted({model for model in (request.model, *request.models) if model})
        peeked = await self._limiter.peek(to_caller(request.caller), models, request.labels)
        response = pb.PeekResponse()
        add_standings([standing for _, standing in peeked], response.statuses)
        for status, (model, _) in zip(response.statuses, peeked, strict=True):
            status.model = model
        return response

    async def SetLimit(self, request: pb.SetLimitRequest, context: Any) -> pb.SetLimitResponse:
        limit = await self._book.put(to_limit(request.limit))
        return pb.SetLimitResponse(limit=from_limit(limit))

    async def GetLimit(self, request: pb.GetLimitRequest, context: Any) -> pb.GetLimitResponse:
        return pb.GetLimitResponse(limit=from_limit(await self._book.get(request.limit_id)))

    async def ListLimits(self, request: pb.ListLimitsRequest, context: Any) -> pb.ListLimitsResponse:
        limits, token = await self._book.page(request.page_size, request.page_token, to_choice(request))
        etag = self._book.table.etag
        if request.known_etag == etag:
            return pb.ListLimitsResponse(etag=etag)
        return pb.ListLimitsResponse(limits=map(from_limit, limits), next_page_token=token, etag=etag)

    async def DeleteLimit(self, request: pb.DeleteLimitRequest, context: Any) -> pb.DeleteLimitResponse:
        await self._book.delete(request.limit_id, request.etag)
        return pb.DeleteLimitResponse()


def _raised(outcome: _Outcome) -> tuple[Standing, ...]:
    if isinstance(outcome, GatewayError):
        raise outcome
    return outcome


def _add_reserved(outcomes: Iterable[_Outcome], results: Any) -> None:
    for outcome in outcomes:
        result = results.add()
        if isinstance(outcome, GatewayError):
            result.error.CopyFrom(to_status(outcome, _DOMAIN))
        elif outcome:
            add_standings(outcome, result.response.statuses)
        else:
            result.response.SetInParent()


def _add_settled(outcomes: Iterable[bool | GatewayError], results: Any) -> None:
    for outcome in outcomes:
        result = results.add()
        if isinstance(outcome, GatewayError):
            result.error.CopyFrom(to_status(outcome, _DOMAIN))
        else:
            result.response.settled = outcome
