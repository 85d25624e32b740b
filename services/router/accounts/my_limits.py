"""The limits that bind a caller as it is told of them: the rule, whom it counts together, and how it stands."""

from collections.abc import Iterable, Sequence

from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import mine_pb2


def limits_told(
    limits: Iterable[limit_pb2.Limit], statuses: Iterable[ratelimit.LimitStatus]
) -> list[mine_pb2.MyLimit]:
    """Those of `limits` that have a status: the others bind none of the requests that were asked about."""
    by_limit: dict[str, dict[str, ratelimit.LimitStatus]] = {}
    for status in statuses:
        by_limit.setdefault(status.limit_id, {})[status.model] = status
    return [
        _told(limit, [status for _, status in sorted(by_limit[limit.limit_id].items())])
        for limit in limits
        if limit.limit_id in by_limit
    ]


def _told(limit: limit_pb2.Limit, statuses: Sequence[ratelimit.LimitStatus]) -> mine_pb2.MyLimit:
    told = mine_pb2.MyLimit(
        limit_id=limit.limit_id,
        metric=limit.metric,
        scope=counted_together(limit),
        limit=statuses[0].limit,
        shadow=limit.shadow,
        standings=[
            mine_pb2.MyLimitStanding(
                model=status.model,
                used=status.limit - status.remaining,
                remaining=status.remaining,
                reset_after=status.reset_after,
            )
            for status in statuses
        ],
    )
    # One that this version does not know stays untold; how the limit stands is told all the same.
    if limit.HasField("token_bucket"):
        told.token_bucket.CopyFrom(limit.token_bucket)
    if limit.HasField("sliding_window"):
        told.sliding_window.CopyFrom(limit.sliding_window)
    return told


def tells_models_apart(limit: limit_pb2.Limit) -> bool:
    """It binds one model only, or counts each by itself."""
    return bool(limit.selector.model) or limit_pb2.DIMENSION_MODEL in limit.per


def counted_together(limit: limit_pb2.Limit) -> mine_pb2.Scope.ValueType:
    """Whose requests share the caller's bucket. Users of one name in two organisations are two users, unless none is named."""
    per, selector = set(limit.per), limit.selector
    if selector.key_id or limit_pb2.DIMENSION_KEY in per:
        return mine_pb2.SCOPE_KEY
    if limit_pb2.DIMENSION_USER in per:
        return mine_pb2.SCOPE_USER
    if selector.organization_id or limit_pb2.DIMENSION_ORGANIZATION in per:
        return mine_pb2.SCOPE_USER if selector.user_id else mine_pb2.SCOPE_ORGANIZATION
    return mine_pb2.SCOPE_INSTALLATION
