"""Between the contract's messages and the domain."""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.duration_pb2 import Duration

from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from services._runtime.errors import FieldViolation
from services.ratelimit.bucket import Standing
from services.ratelimit.errors import NotImplementedYetError
from services.ratelimit.limit import (
    Algorithm,
    Amounts,
    Caller,
    Dimension,
    Limit,
    Metric,
    Selector,
    SlidingWindow,
    Source,
    StoreLossPolicy,
    TokenBucket,
    amounts,
)
from services.ratelimit.limiter import Ended, Request

_LATER: dict[str, Callable[[limit_pb2.Limit], bool]] = {
    "limit.calendar_window": lambda limit: limit.HasField("calendar_window"),
    "limit.concurrency": lambda limit: limit.HasField("concurrency"),
    "limit.metric": lambda limit: limit.metric == limit_pb2.METRIC_CONCURRENT_REQUESTS,
    "limit.store_loss_policy": lambda limit: (
        limit.store_loss_policy == limit_pb2.STORE_LOSS_POLICY_LOCAL_SHARE
    ),
}


def to_caller(caller: Any) -> Caller:
    return Caller(caller.organization_id, caller.user_id, caller.key_id)


def to_amounts(message: pb.Amounts) -> Amounts:
    return amounts(message.requests, message.input_tokens, message.output_tokens, message.cost_nanos)


def to_request(message: pb.ReserveRequest) -> Request:
    return Request(
        message.reservation_id,
        to_caller(message.caller),
        message.model,
        message.labels,
        to_amounts(message.amounts),
        to_us(message.ttl) if message.HasField("ttl") else None,
    )


def to_settlement(message: pb.SettleRequest) -> Ended:
    return to_caller(message.caller), message.reservation_id, to_amounts(message.amounts)


def to_choice(message: pb.ListLimitsRequest) -> Callable[[Limit], bool]:
    """Which limits a listing shall have."""
    if not message.HasField("caller"):
        return lambda _: True
    caller, labels = to_caller(message.caller), message.labels
    return lambda limit: limit.selector.may_match_labelled(caller, labels)


def to_us(duration: Duration) -> int:
    # What lies between two microseconds counts as the later one: no interval is shortened.
    return duration.seconds * 1_000_000 - (-duration.nanos // 1000)


def from_us(microseconds: int, duration: Duration) -> Duration:
    duration.seconds = microseconds // 1_000_000
    duration.nanos = microseconds % 1_000_000 * 1000
    return duration


def add_standings(standings: Iterable[Standing], statuses: Any) -> None:
    """Filled in their place: a third of what making messages and copying them costs."""
    for standing in standings:
        status = statuses.add()
        status.limit_id = standing.limit_id
        status.metric = standing.metric
        status.limit = standing.capacity
        status.remaining = standing.remaining
        from_us(standing.reset_after_us, status.reset_after)
        if standing.shadow:
            status.shadow = True
        if standing.exceeded:
            status.exceeded = True


def to_limit(message: limit_pb2.Limit) -> Limit:
    """:raises NotImplementedYetError: it asks for what this version does not have."""
    _refuse_later(message)
    selector = message.selector
    return Limit(
        message.limit_id,
        Metric(message.metric),
        _algorithm(message),
        Selector(
            selector.organization_id,
            selector.user_id,
            selector.key_id,
            selector.model,
            dict(selector.labels),
        ),
        tuple(Dimension(dimension) for dimension in message.per),
        message.shadow,
        StoreLossPolicy(message.store_loss_policy),
        Source.API,
        message.etag,
    )


def from_limit(limit: Limit) -> limit_pb2.Limit:
    selector = limit.selector
    message = limit_pb2.Limit(
        limit_id=limit.limit_id,
        per=[int(dimension) for dimension in limit.per],  # type: ignore[misc] # as above
        metric=int(limit.metric),  # type: ignore[arg-type] # the domain has the contract's numbers
        shadow=limit.shadow,
        store_loss_policy=int(limit.store_loss_policy),  # type: ignore[arg-type] # as above
        source=int(limit.source),  # type: ignore[arg-type] # as above
        etag=limit.etag,
    )
    if selector != Selector():
        message.selector.CopyFrom(
            limit_pb2.Selector(
                organization_id=selector.organization_id,
                user_id=selector.user_id,
                key_id=selector.key_id,
                model=selector.model,
                labels=selector.labels,
            )
        )
    match limit.algorithm:
        case TokenBucket(refill_amount, refill_interval_us, burst):
            interval = from_us(refill_interval_us, Duration())
            bucket = limit_pb2.TokenBucket(refill_amount=refill_amount, refill_interval=interval, burst=burst)
            message.token_bucket.CopyFrom(bucket)
        case SlidingWindow(maximum, window_us):
            window = limit_pb2.SlidingWindow(maximum=maximum, window=from_us(window_us, Duration()))
            message.sliding_window.CopyFrom(window)
    return message


def _algorithm(message: limit_pb2.Limit) -> Algorithm:
    if message.HasField("sliding_window"):
        window = message.sliding_window
        return SlidingWindow(window.maximum, to_us(window.window))
    bucket = message.token_bucket
    burst = bucket.burst if bucket.HasField("burst") else bucket.refill_amount
    return TokenBucket(bucket.refill_amount, to_us(bucket.refill_interval), burst)


def _refuse_later(message: limit_pb2.Limit) -> None:
    later = [field for field, asks in _LATER.items() if asks(message)]
    if later:
        text = "this value is in the contract, not in this version"
        raise NotImplementedYetError(
            f"{', '.join(later)}: {text}", field_violations=[FieldViolation(field, text) for field in later]
        )
