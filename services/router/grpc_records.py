"""The port to what the peers keep of callers, over their stubs: each call by itself, and no completion waits for one."""

from collections.abc import Awaitable, Callable
from typing import Any

from headgate.billing.v1 import account_service_pb2 as accounts
from headgate.billing.v1 import account_service_pb2_grpc, billing_service_pb2_grpc
from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.ratelimit.v1 import ratelimit_service_pb2_grpc
from services._runtime.errors import GatewayError, PeerUnavailableError
from services.router.grpc_peers import Connection, asking
from services.router.peers import UNREACHABLE

Call = Callable[[Any], Awaitable[Any]]
# A month of a busy organisation takes longer to sum than a hold to take.
_SUMS_SECONDS = 10.0


class GrpcRecords:
    """`Records` over gRPC."""

    def __init__(self, bank: Connection, limits: Connection) -> None:
        books = billing_service_pb2_grpc.BillingServiceStub(bank.channels[0])
        keys = account_service_pb2_grpc.AccountServiceStub(bank.channels[0])
        limiter = ratelimit_service_pb2_grpc.RateLimitServiceStub(limits.channels[0])
        self._key = _told(asking(bank, keys.GetKey), "billing, which knows the API keys,")
        self._usage = _told(_summing(bank, books.QueryUsage), "billing, which keeps the ledger,")
        self._budgets = _told(asking(bank, books.ListBudgets), "billing, which keeps the budgets,")
        self._limits = _told(asking(limits, limiter.ListLimits), "ratelimit, which keeps the limits,")
        self._peek = _told(asking(limits, limiter.Peek), "ratelimit, which keeps the limits,")

    def key(self, request: accounts.GetKeyRequest) -> Awaitable[accounts.GetKeyResponse]:
        return self._key(request)

    def usage(self, request: billing.QueryUsageRequest) -> Awaitable[billing.QueryUsageResponse]:
        return self._usage(request)

    def budgets(self, request: billing.ListBudgetsRequest) -> Awaitable[billing.ListBudgetsResponse]:
        return self._budgets(request)

    def limits(self, request: ratelimit.ListLimitsRequest) -> Awaitable[ratelimit.ListLimitsResponse]:
        return self._limits(request)

    def peek(self, request: ratelimit.PeekRequest) -> Awaitable[ratelimit.PeekResponse]:
        return self._peek(request)


def _summing(connection: Connection, method: Any) -> Call:
    """No breaker judges by it: how long a sum takes is the asker's affair, and must cost no other the peer."""

    async def ask(request: Any) -> Any:
        connection.guard.check()
        return await connection.caller.call(method, request, timeout_seconds=_SUMS_SECONDS)

    return ask


def _told(ask: Call, peer: str) -> Call:
    async def told(request: Any) -> Any:
        try:
            return await ask(request)
        except GatewayError as error:
            if error.code not in UNREACHABLE:
                raise
            raise PeerUnavailableError(f"{peer} can't be reached", retry_after_seconds=1.0) from error

    return told
