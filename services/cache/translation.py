"""The contract's messages as the cache's own terms, and back."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from headgate.cache.v1 import cache_service_pb2 as pb
from headgate.common.v1.cache_status_pb2 import CACHE_STATUS_EXACT, CACHE_STATUS_MISS
from headgate.common.v1.caller_pb2 import Caller as CallerMessage
from headgate.common.v1.usage_pb2 import TokenUsage
from services.cache.cache import Finding
from services.cache.entry import Answer, Entry, Usage
from services.cache.question import Caller, Question, Scope
from services.cache.store import Occupancy
from services.cache.tally import Counts

_MAX_INT64 = 2**63 - 1
_SCOPES = {
    pb.CACHE_SCOPE_UNSPECIFIED: Scope.USER,
    pb.CACHE_SCOPE_KEY: Scope.KEY,
    pb.CACHE_SCOPE_USER: Scope.USER,
    pb.CACHE_SCOPE_ORGANIZATION: Scope.ORGANIZATION,
}


def to_question(request: pb.LookupRequest) -> Question:
    return Question(
        _to_caller(request.caller),
        _SCOPES[request.scope],
        request.model,
        request.content,
        _to_ns(request.max_age) if request.HasField("max_age") else None,
        request.HasField("semantic"),
    )


def to_answer(request: pb.StoreRequest) -> Answer:
    return Answer(
        request.caller.organization_id,
        request.key,
        request.value,
        _to_ns(request.ttl) if request.HasField("ttl") else None,
        tuple(request.tags),
        _to_usage(request.usage),
        request.cost_nanos,
    )


def from_finding(finding: Finding, response: pb.LookupResponse) -> pb.LookupResponse:
    """`response`, filled in its place: for a batch that costs a third of making messages and copying them."""
    response.key = finding.key
    if finding.entry is None:
        response.status = CACHE_STATUS_MISS
    else:
        response.status = CACHE_STATUS_EXACT
        _from_entry(finding.entry, response.entry)
    return response


def from_counts(counts: Counts, occupancy: Occupancy | None) -> pb.GetStatsResponse:
    return pb.GetStatsResponse(
        exact_hits=counts.exact_hits,
        semantic_hits=counts.semantic_hits,
        misses=counts.misses,
        stores=counts.stores,
        evictions=counts.evictions,
        entries=None if occupancy is None else occupancy.entries,
        bytes=None if occupancy is None else occupancy.bytes,
        saved_tokens=min(counts.saved_tokens, _MAX_INT64),
        saved_cost_nanos=min(counts.saved_cost_nanos, _MAX_INT64),
    )


def _to_caller(caller: CallerMessage) -> Caller:
    return Caller(caller.organization_id, caller.user_id, caller.key_id)


def _to_usage(usage: TokenUsage) -> Usage:
    return Usage(
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_write_input_tokens,
        usage.reasoning_output_tokens,
        usage.source,
    )


def _from_entry(entry: Entry, message: pb.Entry) -> None:
    message.value = entry.value
    message.cost_nanos = entry.cost_nanos
    _from_ns(entry.created_ns, message.create_time)
    _from_ns(entry.expires_ns, message.expire_time)
    _from_usage(entry.usage, message.usage)


def _from_usage(usage: Usage, message: TokenUsage) -> None:
    message.input_tokens = usage.input_tokens
    message.output_tokens = usage.output_tokens
    message.cache_read_input_tokens = usage.cache_read_input_tokens
    message.cache_write_input_tokens = usage.cache_write_input_tokens
    message.reasoning_output_tokens = usage.reasoning_output_tokens
    message.total_tokens = usage.total_tokens
    message.source = usage.source  # type: ignore[assignment]


def _to_ns(duration: Duration) -> int:
    return duration.seconds * 1_000_000_000 + duration.nanos


def _from_ns(ns: int, timestamp: Timestamp) -> None:
    timestamp.seconds, timestamp.nanos = divmod(ns, 1_000_000_000)
