"""How a limit is written into a store: JSON, so that an operator can read it there."""

from dataclasses import asdict
from typing import Any

import msgspec

from services.ratelimit.limit import (
    Algorithm,
    Dimension,
    Limit,
    Metric,
    Selector,
    SlidingWindow,
    StoreLossPolicy,
    TokenBucket,
)


def pack_limit(limit: Limit) -> bytes:
    """All but its source, etag and generation, which the store knows."""
    return msgspec.json.encode(
        {
            "limit_id": limit.limit_id,
            "metric": limit.metric,
            "algorithm": _algorithm_fields(limit.algorithm),
            "selector": limit.selector,
            "per": limit.per,
            "shadow": limit.shadow,
            "store_loss_policy": limit.store_loss_policy,
        }
    )


def unpack_limit(packed: str) -> Limit:
    fields: dict[str, Any] = msgspec.json.decode(packed)
    return Limit(
        fields["limit_id"],
        Metric(fields["metric"]),
        _algorithm(fields["algorithm"]),
        Selector(**fields["selector"]),
        tuple(Dimension(dimension) for dimension in fields["per"]),
        fields["shadow"],
        StoreLossPolicy(fields["store_loss_policy"]),
    )


def _algorithm_fields(algorithm: Algorithm) -> dict[str, Any]:
    return {"name": type(algorithm).__name__, **asdict(algorithm)}


def _algorithm(fields: dict[str, Any]) -> Algorithm:
    kinds: dict[str, type[Algorithm]] = {kind.__name__: kind for kind in (TokenBucket, SlidingWindow)}
    return kinds[fields.pop("name")](**fields)
