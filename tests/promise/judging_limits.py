"""Whether what was admitted stayed within each limit, and whether each limit counts what the ledger says."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from headgate.common.v1 import cache_status_pb2
from headgate.ratelimit.v1 import limit_pb2
from tests.promise.books import Asked, Books
from tests.promise.plans import key_name

_LONGEST_RUN_SECONDS = 600
_HIT = cache_status_pb2.CACHE_STATUS_EXACT
_FEW = 4
"""Requests, of which a token bucket surely remembers all that they took."""
Bucket = tuple[str, ...]


def broken_limits(books: Books) -> Iterator[str]:
    for limit in filter(partial(_was_decided, books), books.plan.limits):
        buckets: dict[Bucket, list[tuple[Asked, int]]] = defaultdict(list)
        for asked in books.asked:
            if _binds(books, limit, asked.plan.caller, asked.plan.request.model, _team(asked)):
                bucket = _bucket(books, limit, asked.plan.caller, asked.plan.request.model)
                buckets[bucket].append((asked, amount_of(books, asked, limit.metric)))
        for bucket, counted in buckets.items():
            if not limit.shadow and (most := _most_at_once(limit, counted)) > maximum_of(limit):
                yield f"limit {limit} of {maximum_of(limit)} let {most} pass for {bucket}"
        yield from _broken_counts(books, limit, buckets)
    for asked in books.asked:
        if asked.reason == "RATE_LIMITED" and not any(
            not limit.shadow
            and _binds(books, limit, asked.plan.caller, asked.plan.request.model, _team(asked))
            for limit in books.plan.limits
        ):
            yield f"{asked.plan.name} was refused for a limit, and none binds it"


def _was_decided(books: Books, limit: limit_pb2.Limit) -> bool:
    """False when it may have admitted unseen, as it says itself: nobody who could decide or price was there."""
    if books.disturbance.forgot_limits:
        return False
    lost = books.killed & {"ratelimit", "billing", "router"}
    return not lost or (limit.store_loss_policy != limit_pb2.STORE_LOSS_POLICY_OPEN and not limit.shadow)


def maximum_of(limit: limit_pb2.Limit) -> int:
    return limit.token_bucket.burst or limit.sliding_window.maximum


def amount_of(books: Books, asked: Asked, metric: limit_pb2.Metric.ValueType) -> int:
    """What the request counts under a limit, by the ledger; an answer of the cache has no tokens."""
    entries = books.entries_of(asked.plan)
    if metric == limit_pb2.METRIC_REQUESTS:
        return int(bool(entries))
    if metric == limit_pb2.METRIC_COST_NANOS:
        return sum(entry.cost.amount_nanos for entry in entries)
    used = [entry.record.usage for entry in entries if entry.record.cache_status != _HIT]
    inputs, outputs = sum(each.input_tokens for each in used), sum(each.output_tokens for each in used)
    match metric:
        case limit_pb2.METRIC_INPUT_TOKENS:
            return inputs
        case limit_pb2.METRIC_OUTPUT_TOKENS:
            return outputs
        case _:
            return inputs + outputs


def _most_at_once(limit: limit_pb2.Limit, counted: list[tuple[Asked, int]]) -> int:
    """The most that surely fell into one window."""
    if limit.HasField("token_bucket"):
        return sum(amount for _, amount in counted)
    window = limit.sliding_window.window.ToTimedelta().total_seconds()
    begins = [asked.began for asked, _ in counted]
    return max(
        sum(amount for asked, amount in counted if begin <= asked.began and asked.known_by <= begin + window)
        for begin in begins
    )


def _broken_counts(
    books: Books, limit: limit_pb2.Limit, buckets: dict[Bucket, list[tuple[Asked, int]]]
) -> Iterator[str]:
    window = limit.sliding_window.window.ToTimedelta().total_seconds()
    if limit.HasField("sliding_window") and window < _LONGEST_RUN_SECONDS:
        return
    for peeked in books.peeked:
        status = peeked.status
        bound = _binds(books, limit, peeked.caller, peeked.model, peeked.team)
        if status.limit_id != limit.limit_id or not bound:
            continue
        bucket = _bucket(books, limit, peeked.caller, peeked.model)
        booked = sum(amount for _, amount in buckets.get(bucket, []))
        counted = status.limit - status.remaining
        if not _counts_true(books, limit, counted, booked, len(buckets.get(bucket, []))):
            yield f"limit {limit} counts {counted} for {bucket}, where {booked} was booked"


def _counts_true(books: Books, limit: limit_pb2.Limit, counted: int, booked: int, requests: int) -> bool:
    """In shadow what does not fit is not counted; of a bucket less may come back, and of what a dead router had taken nothing."""
    gives_back = (limit.HasField("sliding_window") or requests <= _FEW) and not books.killed
    return (counted <= booked or not gives_back) and (counted >= booked or limit.shadow)


def _binds(books: Books, limit: limit_pb2.Limit, caller: int, model: str, team: str) -> bool:
    selector = limit.selector
    labels = {"run": books.plan.organization_id, "team": team}
    return (
        selector.user_id in ("", books.plan.users[caller])
        and selector.key_id in ("", key_name(caller))
        and selector.model in ("", model)
        and all(labels.get(name) == value for name, value in selector.labels.items())
    )


def _bucket(books: Books, limit: limit_pb2.Limit, caller: int, model: str) -> Bucket:
    values = {
        limit_pb2.DIMENSION_ORGANIZATION: books.plan.organization_id,
        limit_pb2.DIMENSION_USER: books.plan.users[caller],
        limit_pb2.DIMENSION_KEY: key_name(caller),
        limit_pb2.DIMENSION_MODEL: model,
    }
    return tuple(values[dimension] for dimension in sorted(limit.per))


def _team(asked: Asked) -> str:
    return asked.plan.request.labels["team"]
