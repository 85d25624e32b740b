"""headgate.cache.v1.CacheService over the cache: translation, and nothing else."""

# ruff: noqa: N802, ARG002 - the methods are named and called as the contract has them

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from headgate.cache.v1 import cache_service_pb2 as pb
from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceServicer
from services._runtime.errors import GatewayError
from services._runtime.rpc.batch_items import batch_items, exchanged_items
from services._runtime.status import to_status
from services.cache.cache import AnswerCache, Finding
from services.cache.errors import NotInThisVersionError
from services.cache.translation import from_counts, from_finding, to_answer, to_question

SERVICE = "headgate.cache.v1.CacheService"
# Only routers call these, and their items are validated here, each by itself.
TRUSTED_METHODS = frozenset(f"/{SERVICE}/{name}" for name in ("BatchLookup", "BatchStore", "Exchange"))
_DOMAIN = "cache.headgate"


class CacheServicer(CacheServiceServicer):
    """`clock_ns` tells nanoseconds since 1970."""

    def __init__(self, cache: AnswerCache, clock_ns: Callable[[], int]) -> None:
        self._cache = cache
        self._clock_ns = clock_ns

    async def Lookup(self, request: pb.LookupRequest, context: Any) -> pb.LookupResponse:
        (finding,) = await self._lookup([request])
        return from_finding(_raised(finding), pb.LookupResponse())

    async def BatchLookup(self, request: pb.BatchLookupRequest, context: Any) -> pb.BatchLookupResponse:
        items, response = batch_items(request), pb.BatchLookupResponse()
        _add_findings(items.in_order(await self._lookup(items.valid)), response.results)
        return response

    async def Store(self, request: pb.StoreRequest, context: Any) -> pb.StoreResponse:
        (kept,) = await self._store([request])
        return pb.StoreResponse(stored=kept)

    async def BatchStore(self, request: pb.BatchStoreRequest, context: Any) -> pb.BatchStoreResponse:
        items, response = batch_items(request), pb.BatchStoreResponse()
        _add_stored(items.in_order(await self._store(items.valid)), response.results)
        return response

    async def Exchange(self, request: pb.ExchangeRequest, context: Any) -> pb.ExchangeResponse:  # type: ignore[override]
        handed_in, asked = exchanged_items(request, "store", "lookup")
        kept, findings = await self._cache.exchange(
            [to_answer(item) for item in handed_in.valid],
            [to_question(item) for item in asked.valid],
            self._clock_ns(),
        )
        response = pb.ExchangeResponse()
        _add_stored(handed_in.in_order(kept), response.store.results)
        _add_findings(asked.in_order(findings), response.lookup.results)
        return response

    async def AcquireFill(self, request: pb.AcquireFillRequest, context: Any) -> pb.AcquireFillResponse:
        raise NotInThisVersionError("AcquireFill is not in this version")

    async def ReleaseFill(self, request: pb.ReleaseFillRequest, context: Any) -> pb.ReleaseFillResponse:
        raise NotInThisVersionError("ReleaseFill is not in this version")

    async def Invalidate(self, request: pb.InvalidateRequest, context: Any) -> pb.InvalidateResponse:
        match request.WhichOneof("target"):
            case "key":
                await self._cache.forget(request.organization_id, request.key)
            case "tag":
                await self._cache.forget_tag(request.organization_id, request.tag)
            case _:
                await self._cache.forget_organization(request.organization_id)
        return pb.InvalidateResponse()

    async def GetStats(self, request: pb.GetStatsRequest, context: Any) -> pb.GetStatsResponse:
        organization_id = request.organization_id or None
        return from_counts(self._cache.counts(organization_id), self._cache.occupancy(organization_id))

    async def _lookup(self, requests: Sequence[pb.LookupRequest]) -> Sequence[Finding | GatewayError]:
        return await self._cache.lookup([to_question(request) for request in requests], self._clock_ns())

    async def _store(self, requests: Sequence[pb.StoreRequest]) -> Sequence[bool]:
        return await self._cache.store([to_answer(request) for request in requests], self._clock_ns())


def _raised(finding: Finding | GatewayError) -> Finding:
    if isinstance(finding, GatewayError):
        raise finding
    return finding


def _add_findings(findings: Iterable[Finding | GatewayError], results: Any) -> None:
    for finding in findings:
        result = results.add()
        if isinstance(finding, GatewayError):
            result.error.CopyFrom(to_status(finding, _DOMAIN))
        else:
            from_finding(finding, result.response)


def _add_stored(outcomes: Iterable[bool | GatewayError], results: Any) -> None:
    for outcome in outcomes:
        result = results.add()
        if isinstance(outcome, GatewayError):
            result.error.CopyFrom(to_status(outcome, _DOMAIN))
        else:
            result.response.stored = outcome
