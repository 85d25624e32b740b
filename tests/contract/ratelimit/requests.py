"""Short ways to say what a test reserves."""

from services.ratelimit.binding import LimitTable
from services.ratelimit.bucket import Bucket
from services.ratelimit.limit import (
    Caller,
    Dimension,
    Limit,
    Metric,
    SlidingWindow,
    TokenBucket,
    amounts,
)
from services.ratelimit.store import Reservation, Resolution

SECOND = 1_000_000
ORG = "acme"


def token_limit(limit_id: str, burst: int, *, per_second: int = 1, **fields: object) -> Limit:
    algorithm = TokenBucket(per_second, SECOND, burst)
    return Limit(limit_id, Metric.REQUESTS, algorithm, per=(Dimension.ORGANIZATION,), **fields)  # type: ignore[arg-type]


def window_limit(limit_id: str, maximum: int, *, seconds: int = 60, **fields: object) -> Limit:
    algorithm = SlidingWindow(maximum, seconds * SECOND)
    return Limit(limit_id, Metric.REQUESTS, algorithm, per=(Dimension.ORGANIZATION,), **fields)  # type: ignore[arg-type]


def buckets(*limits: Limit, organization_id: str = ORG) -> tuple[Bucket, ...]:
    return LimitTable(limits).bind(Caller(organization_id), "", {})


def asking(
    reservation_id: str, requests: int, *limits: Limit, ttl_seconds: int = 600, organization_id: str = ORG
) -> Reservation:
    return Reservation(
        organization_id,
        reservation_id,
        amounts(requests=requests),
        buckets(*limits, organization_id=organization_id),
        ttl_seconds * SECOND,
    )


def using(reservation_id: str, requests: int, organization_id: str = ORG) -> Resolution:
    return Resolution(organization_id, reservation_id, amounts(requests=requests))
