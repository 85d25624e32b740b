"""Limits: what commands ask of the rate limiter, and how a limit reads."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import cast

import typer
from rich.table import Table

from cli import output
from cli.client import Peer
from cli.errors import seconds_text
from cli.periods import rate as parse_rate
from headgate.common.v1.source_pb2 import ResourceSource
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub

_PAGE = 500
_NANOS_PER_USD = 10**9


def every(ratelimit: Peer) -> Iterator[limit_pb2.Limit]:
    stub, token = RateLimitServiceStub(ratelimit.channel), ""
    while True:
        page = ratelimit.call(stub.ListLimits, pb.ListLimitsRequest(page_size=_PAGE, page_token=token))
        yield from page.limits
        token = page.next_page_token
        if not token:
            return


def put(ratelimit: Peer, limit: limit_pb2.Limit) -> limit_pb2.Limit:
    stub = RateLimitServiceStub(ratelimit.channel)
    return cast("limit_pb2.Limit", ratelimit.call(stub.SetLimit, pb.SetLimitRequest(limit=limit)).limit)


def remove(ratelimit: Peer, limit_id: str) -> None:
    stub = RateLimitServiceStub(ratelimit.channel)
    ratelimit.call(stub.DeleteLimit, pb.DeleteLimitRequest(limit_id=limit_id))


def build(
    limit_id: str,
    metric: str,
    *,
    rate: str | None = None,
    burst: str | None = None,
    window: str | None = None,
) -> limit_pb2.Limit:
    """:raises typer.BadParameter: an amount or a period is not one"""
    name = "METRIC_COST_NANOS" if metric == "cost" else _constant("METRIC", metric)
    limit = limit_pb2.Limit(limit_id=limit_id, metric=limit_pb2.Metric.Value(name))
    amount, length = parse_rate(rate or window or "")
    if rate is not None:
        limit.token_bucket.refill_amount = _amount(amount, metric)
        limit.token_bucket.refill_interval.FromTimedelta(length)
        if burst is not None:
            limit.token_bucket.burst = _amount(burst, metric)
    else:
        limit.sliding_window.maximum = _amount(amount, metric)
        limit.sliding_window.window.FromTimedelta(length)
    return limit


def dimension(name: str) -> "limit_pb2.Dimension.ValueType":
    return limit_pb2.Dimension.Value(_constant("DIMENSION", name))


def loss_policy(name: str) -> "limit_pb2.StoreLossPolicy.ValueType":
    return limit_pb2.StoreLossPolicy.Value(_constant("STORE_LOSS_POLICY", name))


def select(limit: limit_pb2.Limit, selected: Mapping[str, str]) -> None:
    """Bind only what matches; nothing selected binds everything."""
    for name, value in selected.items():
        if value:
            setattr(limit.selector, name, value)


def _constant(enum: str, name: str) -> str:
    return f"{enum}_{name.upper().replace('-', '_')}"


def _amount(text: str, metric: str) -> int:
    """Whole units; of cost, dollars as nano-USD."""
    try:
        value = Decimal(text.replace("_", "").removeprefix("$")) * (_NANOS_PER_USD if metric == "cost" else 1)
    except InvalidOperation:
        raise typer.BadParameter(f"`{text}` is not an amount") from None
    if not value.is_finite() or value != value.to_integral_value() or value < 1:
        raise typer.BadParameter(
            f"`{text}` is not a positive {'price' if metric == 'cost' else 'whole number'}"
        )
    return int(value)


def declared(limits: Iterable[limit_pb2.Limit]) -> Table:
    table = output.table("Limit", "Counts", "At most", "Binds", "Counted per", "Declared by")
    for limit in limits:
        table.add_row(
            limit.limit_id + _remark(limit),
            counted(limit.metric),
            _rule(limit),
            _binds(limit.selector),
            ", ".join(output.word(limit_pb2.Dimension, each) for each in limit.per) or "all together",
            output.word(ResourceSource, limit.source),
        )
    return table


def _remark(limit: limit_pb2.Limit) -> str:
    if limit.shadow:
        return " (only reports)"
    if limit.store_loss_policy == limit_pb2.STORE_LOSS_POLICY_CLOSED:
        return " (refuses while it can't be decided)"
    return ""


def _rule(limit: limit_pb2.Limit) -> str:
    metric = limit.metric
    match limit.WhichOneof("algorithm"):
        case "token_bucket":
            bucket = limit.token_bucket
            burst = f", {shown(bucket.burst, metric)} at once" if bucket.HasField("burst") else ""
            return f"{shown(bucket.refill_amount, metric)} every {_length(bucket.refill_interval.ToTimedelta())}{burst}"
        case "sliding_window":
            window = limit.sliding_window
            return f"{shown(window.maximum, metric)} in any {_length(window.window.ToTimedelta())}"
        case other:
            return (other or "").replace("_", " ")


def _binds(selector: limit_pb2.Selector) -> str:
    named = [
        f"{field.name.removesuffix('_id')} {value}"
        for field, value in selector.ListFields()
        if field.name != "labels"
    ]
    labelled = [f"{name}={value}" for name, value in sorted(selector.labels.items())]
    return ", ".join([*named, *labelled]) or "every request"


def _length(period: timedelta) -> str:
    if period.days and not period.seconds:
        return output.plural(period.days, "day")
    return seconds_text(period.total_seconds())


def counted(metric: int) -> str:
    return output.word(limit_pb2.Metric, metric).removesuffix(" nanos")


def shown(amount: int, metric: int) -> str:
    return output.usd(amount) if metric == limit_pb2.METRIC_COST_NANOS else f"{amount:,}"
