"""The router's peers and providers in memory: they record every call, and know whether the books came out even."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import usage_pb2 as billing_usage
from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.common.v1 import cache_status_pb2, caller_pb2, cost_pb2, usage_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import completion_pb2
from services._runtime.errors import GatewayError, PeerUnavailableError
from services.router.accounts.known_costs import KnownCosts
from services.router.accounts.limit_rules import LimitRules
from services.router.holding import Share
from services.router.peers import Principal
from services.router.reserving import Reserving
from services.router.targets.provider import Chunk, ProviderError, Unsupported

NANOS_PER_TOKEN = 10
ACME = caller_pb2.Caller(organization_id="acme", user_id="ann", key_id="k1")


def principal(*, has_hard_budget: bool = False) -> Principal:
    return Principal(ACME, has_hard_budget)


class Outage:
    """Says which calls of a peer fail, and how: `outage["reserve"] = error`."""

    def __init__(self) -> None:
        self._errors: dict[str, GatewayError] = {}

    def __setitem__(self, method: str, error: GatewayError) -> None:
        self._errors[method] = error

    def all(self, *methods: str) -> None:
        for method in methods:
            self._errors[method] = PeerUnavailableError("down")

    def end(self) -> None:
        self._errors.clear()

    def check(self, method: str) -> None:
        if (error := self._errors.get(method)) is not None:
            raise error


class RecordingLimits:
    """`RateLimit`: everything fits. A reservation is open until it is settled or released, which happens once."""

    def __init__(self) -> None:
        self.outage = Outage()
        self.open: dict[str, ratelimit.Amounts] = {}
        self.settled: dict[str, ratelimit.Amounts] = {}
        self.released: list[str] = []

    async def reserve(self, request: ratelimit.ReserveRequest) -> ratelimit.ReserveResponse:
        self.outage.check("reserve")
        assert request.reservation_id not in self.open
        self.open[request.reservation_id] = request.amounts
        return ratelimit.ReserveResponse(statuses=[ratelimit.LimitStatus(limit_id="one")])

    async def settle(self, request: ratelimit.SettleRequest) -> ratelimit.SettleResponse:
        self.outage.check("settle")
        known = self.open.pop(request.reservation_id, None) is not None
        if known:
            self.settled[request.reservation_id] = request.amounts
        return ratelimit.SettleResponse(settled=known)

    async def release(self, request: ratelimit.ReleaseRequest) -> ratelimit.ReleaseResponse:
        self.outage.check("release")
        known = self.open.pop(request.reservation_id, None) is not None
        if known:
            self.released.append(request.reservation_id)
        return ratelimit.ReleaseResponse(released=known)


class NoLimits:
    """`Listing`: the rate limiter has told of none."""

    async def limits(self, _request: ratelimit.ListLimitsRequest) -> ratelimit.ListLimitsResponse:
        return ratelimit.ListLimitsResponse(etag="none")


def reserving(limits: RecordingLimits, on_peer_lost: Callable[[str], None] = lambda _: None) -> Reserving:
    """Admits what nobody can decide."""
    costs = KnownCosts(lambda: 1.0)
    return Reserving(limits, LimitRules(NoLimits()), costs, admits_unseen=True, on_peer_lost=on_peer_lost)


class RecordingBilling:
    """`Billing`: all money is there. A hold is open until it is captured or void; an attempt is booked once."""

    def __init__(self) -> None:
        self.outage = Outage()
        self.calls: list[str] = []
        self.open: set[str] = set()
        self.captured: Counter[str] = Counter()
        self.void_holds: Counter[str] = Counter()
        self.ledger: dict[str, billing_usage.UsageRecord] = {}

    async def authorize(self, request: billing.AuthorizeRequest) -> billing.AuthorizeResponse:
        self.outage.check("authorize")
        self.open.add(request.hold_id)
        return billing.AuthorizeResponse()

    async def capture(self, request: billing.CaptureRequest) -> billing.CaptureResponse:
        self.outage.check("capture")
        self.calls.append(request.records[0].attempt_id)
        self.open.discard(request.hold_id)
        if request.hold_id:
            self.captured[request.hold_id] += 1
        costs = [self._book(record) for record in request.records]
        return billing.CaptureResponse(costs=costs, total_nanos=sum(cost.amount_nanos for cost in costs))

    async def void(self, request: billing.VoidRequest) -> billing.VoidResponse:
        self.outage.check("void")
        self.calls.append(request.hold_id)
        self.open.discard(request.hold_id)
        self.void_holds[request.hold_id] += 1
        return billing.VoidResponse(voided=True)

    def _book(self, record: billing_usage.UsageRecord) -> cost_pb2.Cost:
        assert self.ledger.setdefault(record.attempt_id, record) == record
        return cost_pb2.Cost(amount_nanos=record.usage.total_tokens * NANOS_PER_TOKEN, price_id="p1")


class RecordingCache:
    """`Cache`: keeps answers by model and content."""

    def __init__(self) -> None:
        self.outage = Outage()
        self.answers: dict[bytes, bytes] = {}

    async def lookup(self, request: cache.LookupRequest) -> cache.LookupResponse:
        self.outage.check("lookup")
        key = request.model.encode() + b"\0" + request.content
        found = cache.LookupResponse(key=key, status=cache_status_pb2.CACHE_STATUS_MISS)
        if (value := self.answers.get(key)) is not None:
            found.status = cache_status_pb2.CACHE_STATUS_EXACT
            found.entry.value = value
        return found

    async def store(self, request: cache.StoreRequest) -> cache.StoreResponse:
        self.outage.check("store")
        self.answers[request.key] = request.value
        return cache.StoreResponse()


Step = Chunk | ProviderError | Callable[[], Awaitable[Any]]


class ScriptedProvider:
    """`Provider` that plays one script per call, the last one again and again: chunks, waits, and a failure at the end."""

    def __init__(self, *scripts: Sequence[Step], unsupported: Sequence[Unsupported] = ()) -> None:
        self._scripts = list(scripts)
        self._unsupported = unsupported
        self.asked: list[str] = []
        self.closed: list[str] = []

    def unsupported(self, _request: completion_pb2.CompletionRequest) -> Sequence[Unsupported]:
        return self._unsupported

    async def complete(
        self,
        model: str,
        request: completion_pb2.CompletionRequest,
        *,
        streamed: bool,
        max_output_tokens: int | None,
        request_id: str,
        share: Share,
    ) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request_id)
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        try:
            for step in script:
                if isinstance(step, ProviderError):
                    raise step
                if isinstance(step, Chunk):
                    yield step
                else:
                    await step()
        finally:
            self.closed.append(request_id)

    async def count_tokens(self, _model: str, _request: completion_pb2.CompletionRequest) -> int | None:
        return None

    async def warm_up(self) -> None:
        return

    async def close(self) -> None:
        return


def said(*words: str, usage: tuple[int, int] | None = None) -> Chunk:
    """A chunk of text, one piece for each word; `usage` is input and output so far."""
    events = [
        completion_pb2.CompletionEvent(delta=completion_pb2.Delta(text=text))
        for text in [" ".join(words)]
        if words
    ]
    told = None if usage is None else counted(*usage)
    return Chunk(events, told, len(words), len(" ".join(words)))


def ended(reason: int = 1, usage: tuple[int, int] | None = None) -> Chunk:
    """The end of the only choice, FINISH_REASON_STOP unless told otherwise."""
    finished = completion_pb2.ChoiceFinished()
    finished.finish_reason = reason  # type: ignore[assignment]
    event = completion_pb2.CompletionEvent(choice_finished=finished)
    return Chunk([event], None if usage is None else counted(*usage))


def counted(input_tokens: int, output_tokens: int, *, whole: bool = True) -> usage_pb2.TokenUsage:
    """A count by the provider; not `whole`: as far as it has counted."""
    return usage_pb2.TokenUsage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
        source=usage_pb2.USAGE_SOURCE_PROVIDER if whole else usage_pb2.USAGE_SOURCE_ESTIMATED,
    )
