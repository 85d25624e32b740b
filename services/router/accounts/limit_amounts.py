"""How much of each metric was reserved and used, and what limits so have left. Pure."""

from collections.abc import Iterable, Sequence

from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services._runtime.errors import GatewayError

_FIELDS = ("requests", "input_tokens", "output_tokens", "cost_nanos")
_UNITS: dict[int, str] = {
    limit_pb2.METRIC_REQUESTS: "requests",
    limit_pb2.METRIC_INPUT_TOKENS: "tokens",
    limit_pb2.METRIC_OUTPUT_TOKENS: "tokens",
    limit_pb2.METRIC_TOTAL_TOKENS: "tokens",
}
_NOTHING = (0,) * (limit_pb2.METRIC_TOTAL_TOKENS + 1)


def spread(used: ratelimit.Amounts, reserved: Sequence[ratelimit.Amounts]) -> list[ratelimit.Amounts]:
    """What each of a request's reservations is settled with: at most what it took, and the last with all the rest."""
    shares = [ratelimit.Amounts() for _ in reserved]
    for field in _FIELDS:
        rest = getattr(used, field)
        for share, took in zip(shares[:-1], reserved, strict=False):
            part = min(rest, getattr(took, field))
            setattr(share, field, part)
            rest -= part
        setattr(shares[-1], field, rest)
    return shares


def refused_by(error: GatewayError) -> ratelimit.LimitStatus | None:
    """The first limit that refused, as the refusal tells it."""
    told = error.metadata
    if "reset_after_seconds" not in told:
        return None
    status = ratelimit.LimitStatus(
        limit_id=told["limit_id"],
        metric=limit_pb2.Metric.Value(f"METRIC_{told['metric']}"),
        limit=int(told["limit"]),
        remaining=int(told["remaining"]),
        exceeded=True,
    )
    status.reset_after.FromMilliseconds(round(float(told["reset_after_seconds"]) * 1000))
    return status


def limit_headers(
    statuses: Iterable[ratelimit.LimitStatus],
    reserved: Sequence[ratelimit.Amounts],
    used: ratelimit.Amounts | None,
) -> list[tuple[str, str]]:
    """`x-ratelimit-*` of the tightest limit on requests, and of the tightest on tokens.

    `statuses` are as `reserved` left them. `used`: what of that stays taken; None while that isn't known.
    """
    back = _NOTHING if used is None else _given_back(reserved, used)
    tightest: dict[str, tuple[int, ratelimit.LimitStatus]] = {}
    for status in statuses:
        unit = _UNITS.get(status.metric)
        if unit is None or status.shadow:
            continue
        left = min(status.limit, max(0, status.remaining + back[status.metric]))
        if unit not in tightest or left < tightest[unit][0]:
            tightest[unit] = left, status
    return [header for unit, (left, status) in tightest.items() for header in _told(unit, left, status)]


def _given_back(reserved: Sequence[ratelimit.Amounts], used: ratelimit.Amounts) -> Sequence[int]:
    """What was reserved and not used, by the number of the metric."""
    requests, written, read = -used.requests, -used.output_tokens, -used.input_tokens
    for each in reserved:
        requests += each.requests
        read += each.input_tokens
        written += each.output_tokens
    return (0, requests, read, written, read + written)


def _told(unit: str, left: int, status: ratelimit.LimitStatus) -> list[tuple[str, str]]:
    reset = status.reset_after
    seconds = 0.0 if left == status.limit else reset.seconds + reset.nanos / 1e9
    return [
        (f"x-ratelimit-limit-{unit}", str(status.limit)),
        (f"x-ratelimit-remaining-{unit}", str(left)),
        (f"x-ratelimit-reset-{unit}", f"{seconds:.3f}s"),
    ]
