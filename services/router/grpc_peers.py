"""The ports to the other services over their stubs: calls that coincide leave together in one batch."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.rpc import status_pb2

from headgate.billing.v1 import account_service_pb2, account_service_pb2_grpc, billing_service_pb2_grpc
from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.cache.v1 import cache_service_pb2_grpc
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.ratelimit.v1 import ratelimit_service_pb2_grpc
from services._runtime.batching import PacedBatcher
from services._runtime.channel import Caller
from services._runtime.errors import GatewayError
from services._runtime.status import from_status
from services.router.peers import Principal

OnDeparture = Callable[[int, int], None]
"""Told the size of each batch that leaves, and how many calls stay queued."""


class GrpcRateLimit:
    """`RateLimit` over gRPC."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        caller: Caller,
        timeout_seconds: float,
        on_departure: OnDeparture,
        pace: Callable[[], float],
    ) -> None:
        stub = ratelimit_service_pb2_grpc.RateLimitServiceStub(channel)
        batch = _batcher_for(caller, timeout_seconds, on_departure, pace)
        self._reserve = batch(stub.BatchReserve, ratelimit.BatchReserveRequest)
        self._settle = batch(stub.BatchSettle, ratelimit.BatchSettleRequest)
        self._release = _single(caller, stub.Release, timeout_seconds)

    def reserve(self, request: ratelimit.ReserveRequest) -> Awaitable[ratelimit.ReserveResponse]:
        return self._reserve.submit(request)

    def settle(self, request: ratelimit.SettleRequest) -> Awaitable[ratelimit.SettleResponse]:
        return self._settle.submit(request)

    def release(self, request: ratelimit.ReleaseRequest) -> Awaitable[ratelimit.ReleaseResponse]:
        return self._release(request)


class GrpcCache:
    """`Cache` over gRPC."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        caller: Caller,
        timeout_seconds: float,
        on_departure: OnDeparture,
        pace: Callable[[], float],
    ) -> None:
        stub = cache_service_pb2_grpc.CacheServiceStub(channel)
        batch = _batcher_for(caller, timeout_seconds, on_departure, pace)
        self._lookup = batch(stub.BatchLookup, cache.BatchLookupRequest)
        self._store = batch(stub.BatchStore, cache.BatchStoreRequest)

    def lookup(self, request: cache.LookupRequest) -> Awaitable[cache.LookupResponse]:
        return self._lookup.submit(request)

    def store(self, request: cache.StoreRequest) -> Awaitable[cache.StoreResponse]:
        return self._store.submit(request)


class GrpcBilling:
    """`Billing` over gRPC."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        caller: Caller,
        timeout_seconds: float,
        on_departure: OnDeparture,
        pace: Callable[[], float],
    ) -> None:
        stub = billing_service_pb2_grpc.BillingServiceStub(channel)
        batch = _batcher_for(caller, timeout_seconds, on_departure, pace)
        self._authorize = batch(stub.BatchAuthorize, billing.BatchAuthorizeRequest)
        self._capture = batch(stub.BatchCapture, billing.BatchCaptureRequest)
        self._void = _single(caller, stub.Void, timeout_seconds)

    def authorize(self, request: billing.AuthorizeRequest) -> Awaitable[billing.AuthorizeResponse]:
        return self._authorize.submit(request)

    def capture(self, request: billing.CaptureRequest) -> Awaitable[billing.CaptureResponse]:
        return self._capture.submit(request)

    def void(self, request: billing.VoidRequest) -> Awaitable[billing.VoidResponse]:
        return self._void(request)


class GrpcAccounts:
    """`Accounts` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller, timeout_seconds: float) -> None:
        stub = account_service_pb2_grpc.AccountServiceStub(channel)
        self._resolve = _single(caller, stub.ResolveKey, timeout_seconds)

    async def resolve(self, token: str) -> Principal:
        response = await self._resolve(account_service_pb2.ResolveKeyRequest(token=token))
        return Principal(response.caller, response.has_hard_budget)


def _batcher_for(
    caller: Caller, timeout_seconds: float, on_departure: OnDeparture, pace: Callable[[], float]
) -> Callable[[Any, Callable[..., Any]], PacedBatcher[Any, Any]]:
    def batcher(method: Any, make_request: Callable[..., Any]) -> PacedBatcher[Any, Any]:
        async def send(requests: list[Any]) -> Sequence[Any]:
            batch = make_request(requests=requests)
            response = await caller.call(method, batch, timeout_seconds=timeout_seconds)
            return [_unpack(result) for result in response.results]

        return PacedBatcher(send, pace=pace, on_departure=on_departure)

    return batcher


def _unpack(result: Any) -> Any:
    return _error(result.error) if result.HasField("error") else result.response


def _error(status: status_pb2.Status) -> GatewayError:
    return from_status(status)


def _single(caller: Caller, method: Any, timeout_seconds: float) -> Callable[[Any], Awaitable[Any]]:
    return lambda request: caller.call(method, request, timeout_seconds=timeout_seconds)
