"""One sensible request for every RPC of every process, in an order in which each finds what it needs.

In a request `$unique` is the test's own word, and `$name` what an earlier answer held (`keep`).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """`keep`: names for parts of the first answer, such as `models.0.modelId`.

    `never_ends`: the stream goes on until somebody hangs up.
    """

    method: str
    request: Json = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    never_ends: bool = False


def _of(service: str, *calls: Call) -> tuple[Call, ...]:
    return tuple(Call(f"{service}/{call.method}", call.request, call.keep, call.never_ends) for call in calls)


_CALLER = {"organization_id": "$unique", "user_id": "ada", "key_id": "k1"}
_BYTES = base64.b64encode(b"reflection").decode()

# -- router
_ASK = {"model": "fast", "prompt": "Hello"}
_ROUTER = _of(
    "headgate.router.v1.RouterService",
    Call("ListModels", keep={"model": "models.0.modelId"}),
    Call("GetModel", {"model_id": "$model"}),
    Call("ListTargets"),
    Call("CountTokens", _ASK),
    Call("Complete", _ASK),
    Call("StreamComplete", _ASK),
    Call("ResumeCompletion", {"completion_id": "cmpl_1", "after_sequence": 1}),
    Call("Embed", {"model": "fast", "texts": ["Hello"]}),
    Call("GetMyself"),
    Call("GetMyUsage", {"scope": "SCOPE_USER", "group_by": ["USAGE_DIMENSION_DAY", "USAGE_DIMENSION_MODEL"]}),
    Call("ListMyLimits", {"model": "fast", "labels": {"team": "red"}}),
    Call("ListMyBudgets", {"page_size": 10}),
)
_JOBS = _of(
    "headgate.router.v1.JobService",
    Call("SubmitJob", {"request": _ASK}),
    Call("GetJob", {"job_id": "j1"}),
    Call("ListJobs", {"page_size": 10}),
    Call("WatchJob", {"job_id": "j1"}),
    Call("CancelJob", {"job_id": "j1"}),
)

# -- cache
_QUESTION = {"caller": _CALLER, "model": "fast", "content": _BYTES}
_CACHE_ENTRY = {"key": "$cache_key", "caller": _CALLER, "value": _BYTES, "ttl": "60s", "tags": ["reflection"]}
_CACHE = _of(
    "headgate.cache.v1.CacheService",
    Call("Lookup", _QUESTION, keep={"cache_key": "key"}),
    Call("Store", _CACHE_ENTRY),
    Call("BatchLookup", {"requests": [_QUESTION]}),
    Call("BatchStore", {"requests": [_CACHE_ENTRY]}),
    Call("Exchange", {"store": {"requests": [_CACHE_ENTRY]}, "lookup": {"requests": [_QUESTION]}}),
    Call("GetStats", {"organization_id": "$unique"}),
    Call("Invalidate", {"organization_id": "$unique", "tag": "reflection"}),
    Call("AcquireFill", {"key": "$cache_key", "ttl": "5s"}),
    Call("ReleaseFill", {"key": "$cache_key", "fill_token": "t1"}),
)

# -- ratelimit
_RESERVE = {"reservation_id": "$unique-1", "caller": _CALLER, "model": "fast", "amounts": {"requests": 1}}
_SETTLE = {"reservation_id": "$unique-1", "caller": _CALLER, "amounts": {"requests": 1, "output_tokens": 5}}
_SECOND = {"reservation_id": "$unique-2", "caller": _CALLER}
_RATE_LIMIT = {
    "limit_id": "$unique/requests",
    "selector": {"organization_id": "$unique"},
    "per": ["DIMENSION_USER"],
    "metric": "METRIC_REQUESTS",
    "token_bucket": {"refill_amount": 100, "refill_interval": "1s"},
}
_RATELIMIT = _of(
    "headgate.ratelimit.v1.RateLimitService",
    Call("SetLimit", {"limit": _RATE_LIMIT}),
    Call("GetLimit", {"limit_id": "$unique/requests"}),
    Call("ListLimits", {"page_size": 10}),
    Call("Reserve", _RESERVE),
    Call("Settle", _SETTLE),
    Call("BatchReserve", {"requests": [{**_RESERVE, "reservation_id": "$unique-2"}]}),
    Call("Renew", {**_SECOND, "ttl": "60s"}),
    Call("Release", _SECOND),
    Call("BatchSettle", {"requests": [{**_SETTLE, "reservation_id": "$unique-3"}]}),
    Call("Exchange", {"settle": {"requests": [_SETTLE]}, "reserve": {"requests": [_RESERVE]}}),
    Call("Peek", {"caller": _CALLER, "model": "fast"}),
    Call("DeleteLimit", {"limit_id": "$unique/requests"}),
)
_ENVOY = _of(
    "envoy.service.ratelimit.v3.RateLimitService",
    Call(
        "ShouldRateLimit",
        {"domain": "headgate", "descriptors": [{"entries": [{"key": "user", "value": "ada"}]}]},
    ),
)

# -- billing
_AUTHORIZE = {
    "hold_id": "$unique-1",
    "caller": _CALLER,
    "candidates": [{"provider": "simulator", "model": "sim-small"}],
    "input_tokens": 10,
    "max_output_tokens": 100,
}
_RECORD = {
    "attempt_id": "$unique-1.1",
    "completion_id": "$unique-1",
    "caller": _CALLER,
    "provider": "simulator",
    "model": "sim-small",
    "usage": {"input_tokens": 10, "output_tokens": 20, "source": "USAGE_SOURCE_PROVIDER"},
    "outcome": "OUTCOME_COMPLETE",
    "start_time": "2026-11-23T12:00:00Z",
    "end_time": "2026-11-23T12:00:01Z",
}
_CAPTURE = {"hold_id": "$unique-1", "records": [_RECORD]}
_PRICE = {
    "provider": "$unique",
    "model": "m1",
    "tiers": [{"input_nanos_per_million": "150000000", "output_nanos_per_million": "600000000"}],
}
_BUDGET = {
    "budget_id": "$unique/monthly",
    "organization_id": "$unique",
    "limit_nanos": "1000000000",
    "period": "BUDGET_PERIOD_MONTH",
}
_THEIRS = {"filter": {"organization_id": "$unique"}}
_BILLING = _of(
    "headgate.billing.v1.BillingService",
    Call("SetPrice", {"price": _PRICE}),
    Call("ListPrices", {"provider": "$unique"}),
    Call("SetBudget", {"budget": _BUDGET}),
    Call("GetBudget", {"budget_id": "$unique/monthly"}),
    Call("ListBudgets", {"organization_id": "$unique"}),
    Call("ListHolds", {"organization_id": "$unique"}),
    Call("Authorize", _AUTHORIZE),
    Call("Capture", _CAPTURE),
    Call("BatchAuthorize", {"requests": [{**_AUTHORIZE, "hold_id": "$unique-2"}]}),
    Call("Void", {"hold_id": "$unique-2"}),
    Call("BatchCapture", {"requests": [_CAPTURE]}),
    Call("Exchange", {"capture": {"requests": [_CAPTURE]}, "authorize": {"requests": [_AUTHORIZE]}}),
    Call("RecordUsage", {"records": [{**_RECORD, "attempt_id": "$unique-3.1"}]}),
    Call("QueryUsage", {**_THEIRS, "group_by": ["USAGE_DIMENSION_USER"]}),
    Call("ListUsage", _THEIRS),
    Call("ExportUsage", {**_THEIRS, "format": "EXPORT_FORMAT_CSV"}),
    Call("WatchAlerts", {"organization_id": "$unique"}),
    Call("DeleteBudget", {"budget_id": "$unique/monthly"}),
)
_ACCOUNTS = _of(
    "headgate.billing.v1.AccountService",
    Call("CreateAccount", {"account": {"organization_id": "$unique"}}),
    Call("GetAccount", {"organization_id": "$unique"}),
    Call("ListAccounts", {"organization_id": "$unique"}),
    Call(
        "CreateKey",
        {"key": {"organization_id": "$unique"}},
        keep={"token": "token", "key_id": "key.keyId"},
    ),
    Call("ListKeys", {"organization_id": "$unique"}),
    Call("GetKey", {"key_id": "$key_id"}),
    Call("ResolveKey", {"token": "$token"}),
    Call("RenameKey", {"key_id": "$key_id", "display_name": "another"}),
    Call("RevokeKey", {"key_id": "$key_id"}),
)

# -- what each process serves besides
_LIST_SERVICES = Call("ServerReflectionInfo", {"list_services": ""})
_EVERYWHERE = (
    *_of("grpc.health.v1.Health", Call("Check"), Call("List"), Call("Watch", never_ends=True)),
    *_of("grpc.reflection.v1.ServerReflection", _LIST_SERVICES),
    *_of("grpc.reflection.v1alpha.ServerReflection", _LIST_SERVICES),
)

CALLS: Mapping[str, tuple[Call, ...]] = {
    "router": (*_ROUTER, *_JOBS, *_EVERYWHERE),
    "cache": (*_CACHE, *_EVERYWHERE),
    "ratelimit": (*_RATELIMIT, *_ENVOY, *_EVERYWHERE),
    "billing": (*_BILLING, *_ACCOUNTS, *_EVERYWHERE),
}

AT_ANY_TIME: Mapping[str, Call] = {
    "router": Call("headgate.router.v1.RouterService/Complete", _ASK),
    "cache": Call("headgate.cache.v1.CacheService/GetStats"),
    "ratelimit": Call("headgate.ratelimit.v1.RateLimitService/ListLimits"),
    "billing": Call("headgate.billing.v1.BillingService/ListPrices", {"page_size": 5}),
}
"""One of each process that needs no other before it, and may be repeated."""
