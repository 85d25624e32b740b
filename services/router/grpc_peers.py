"""The ports to the other services over their stubs: calls to a peer that coincide leave together."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from headgate.billing.v1 import account_service_pb2, account_service_pb2_grpc, billing_service_pb2_grpc
from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.cache.v1 import cache_service_pb2_grpc
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.ratelimit.v1 import ratelimit_service_pb2_grpc
from services._runtime.calling.batching import PacedBatcher
from services._runtime.calling.channel import MAX_MESSAGE_BYTES, Caller
from services._runtime.calling.exchange import Exchange
from services._runtime.calling.guard import Guard
from services._runtime.calling.timeouts import LearnedTimeout
from services._runtime.errors import Code, GatewayError, InternalError
from services._runtime.status import from_status
from services._runtime.telemetry.propagation import describe
from services.router.peers import Principal

OnDeparture = Callable[[int, int], None]
"""Told the size of each batch that leaves, and how many calls stay queued."""

_TOO_LARGE = {Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT}
"""What a message that is too large is refused with as a whole: by this side of the channel, and by the peer's."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How a peer is reached. A batch, or a call, with its retries, is given between `least_seconds` and `most_seconds`."""

    channels: Sequence[grpc.aio.Channel]
    caller: Caller
    guard: Guard
    least_seconds: float
    most_seconds: float
    on_departure: OnDeparture
    pace: Callable[[], float]
    max_message_bytes: int = MAX_MESSAGE_BYTES

    def learned_timeout(self) -> LearnedTimeout:
        """Of one kind of call: each takes its own usual time."""
        return LearnedTimeout(self.least_seconds, self.most_seconds)


class GrpcRateLimit:
    """`RateLimit` over gRPC."""

    def __init__(self, connection: Connection) -> None:
        stubs = [ratelimit_service_pb2_grpc.RateLimitServiceStub(channel) for channel in connection.channels]
        self._submit = _exchanging(connection, [stub.Exchange for stub in stubs], ratelimit.ExchangeRequest)
        self._release = asking(connection, stubs[0].Release)

    def reserve(self, request: ratelimit.ReserveRequest) -> Awaitable[ratelimit.ReserveResponse]:
        return self._submit(("reserve", request))

    def settle(self, request: ratelimit.SettleRequest) -> Awaitable[ratelimit.SettleResponse]:
        return self._submit(("settle", request), is_patient=True)

    def release(self, request: ratelimit.ReleaseRequest) -> Awaitable[ratelimit.ReleaseResponse]:
        return self._release(request)


class GrpcCache:
    """`Cache` over gRPC."""

    def __init__(self, connection: Connection) -> None:
        stubs = [cache_service_pb2_grpc.CacheServiceStub(channel) for channel in connection.channels]
        self._submit = _exchanging(connection, [stub.Exchange for stub in stubs], cache.ExchangeRequest)

    def lookup(self, request: cache.LookupRequest) -> Awaitable[cache.LookupResponse]:
        return self._submit(("lookup", request))

    def store(self, request: cache.StoreRequest) -> Awaitable[cache.StoreResponse]:
        return self._submit(("store", request), is_patient=True)


class GrpcBilling:
    """`Billing` over gRPC."""

    def __init__(self, connection: Connection) -> None:
        stubs = [billing_service_pb2_grpc.BillingServiceStub(channel) for channel in connection.channels]
        self._submit = _exchanging(connection, [stub.Exchange for stub in stubs], billing.ExchangeRequest)
        self._void = asking(connection, stubs[0].Void)

    def authorize(self, request: billing.AuthorizeRequest) -> Awaitable[billing.AuthorizeResponse]:
        return self._submit(("authorize", request))

    def capture(self, request: billing.CaptureRequest) -> Awaitable[billing.CaptureResponse]:
        return self._submit(("capture", request))

    def void(self, request: billing.VoidRequest) -> Awaitable[billing.VoidResponse]:
        return self._void(request)


class GrpcAccounts:
    """`Accounts` over gRPC."""

    def __init__(self, connection: Connection) -> None:
        self._resolve = asking(
            connection, account_service_pb2_grpc.AccountServiceStub(connection.channels[0]).ResolveKey
        )

    async def resolve(self, token: str) -> Principal:
        response = await self._resolve(account_service_pb2.ResolveKeyRequest(token=token))
        expire_ns = response.expire_time.ToNanoseconds() if response.HasField("expire_time") else None
        return Principal(response.caller, response.has_hard_budget, expire_ns)


def _exchanging(
    connection: Connection, methods: Sequence[Any], make_request: Callable[[], Any]
) -> Callable[..., Awaitable[Any]]:
    """Takes (which batch of an exchange's request, the call's own request), and gives what the peer answers to it.

    Calls that are too large for one message leave in halves, so that none fails for its neighbours' size.
    """
    caller, timeout = connection.caller, connection.learned_timeout()
    exchange = Exchange(methods, caller.authorization, max_message_bytes=connection.max_message_bytes)

    async def exchanged(calls: list[tuple[str, Any]], timeout_seconds: float) -> Sequence[Any]:
        request = make_request()
        describe(request.context)
        for kind, call in calls:
            getattr(request, kind).requests.append(call)
        try:
            response = await caller.call(exchange, request, timeout_seconds=timeout_seconds)
        except GatewayError as error:
            if len(calls) == 1 or error.code not in _TOO_LARGE:
                raise
            middle = len(calls) // 2
            return [
                result
                for half in (calls[:middle], calls[middle:])
                for result in await attempt(half, timeout_seconds)
            ]
        results = {kind: iter(getattr(response, kind).results) for kind in {kind for kind, _ in calls}}
        return [_unpack(next(results[kind], None)) for kind, _ in calls]

    async def attempt(calls: list[tuple[str, Any]], timeout_seconds: float) -> Sequence[Any]:
        try:
            return await exchanged(calls, timeout_seconds)
        except GatewayError as error:
            return [error] * len(calls)

    async def send(calls: list[tuple[str, Any]]) -> Sequence[Any]:
        return await connection.guard.ask(partial(exchanged, calls), timeout, _is_lost)

    return PacedBatcher(send, pace=connection.pace, on_departure=connection.on_departure).submit


def _is_lost(results: Sequence[Any]) -> bool:
    """The peer answered, and to every call that its store does not."""
    return all(isinstance(result, GatewayError) and result.code is Code.UNAVAILABLE for result in results)


def _unpack(result: Any) -> Any:
    if result is None:
        return InternalError("the peer answered fewer calls than it was sent")
    return from_status(result.error) if result.HasField("error") else result.response


def asking(connection: Connection, method: Any) -> Callable[[Any], Awaitable[Any]]:
    """Calls by themselves, over the peer's first connection."""
    call, timeout = connection.caller.call, connection.learned_timeout()
    return lambda request: connection.guard.ask(
        lambda seconds: call(method, request, timeout_seconds=seconds), timeout
    )
