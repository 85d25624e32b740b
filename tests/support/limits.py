"""Limits as a test declares them while a suite runs, and what its routers know of them."""

from typing import Any

from google.protobuf.duration_pb2 import Duration

from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services.router.accounts.limit_rules import LimitRules
from tests.support.in_process import InProcessSuite

COST, REQUESTS = limit_pb2.METRIC_COST_NANOS, limit_pb2.METRIC_REQUESTS
INPUT, OUTPUT = limit_pb2.METRIC_INPUT_TOKENS, limit_pb2.METRIC_OUTPUT_TOKENS
TOKENS = limit_pb2.METRIC_TOTAL_TOKENS
OPEN, CLOSED = limit_pb2.STORE_LOSS_POLICY_OPEN, limit_pb2.STORE_LOSS_POLICY_CLOSED
DAY = Duration(seconds=86_400)


def window(limit_id: str, metric: limit_pb2.Metric.ValueType, maximum: int, **fields: Any) -> limit_pb2.Limit:
    """At most so much in any day."""
    return limit_pb2.Limit(
        limit_id=limit_id,
        metric=metric,
        sliding_window=limit_pb2.SlidingWindow(maximum=maximum, window=DAY),
        **fields,
    )


async def declare(suite: InProcessSuite, *limits: limit_pb2.Limit) -> None:
    """Set, and seen by the router as its next look would."""
    for limit in limits:
        await suite.ratelimit.SetLimit(ratelimit.SetLimitRequest(limit=limit))
    await rules_of(suite).look()


async def delete(suite: InProcessSuite, limit_id: str) -> None:
    await suite.ratelimit.DeleteLimit(ratelimit.DeleteLimitRequest(limit_id=limit_id))
    await rules_of(suite).look()


def rules_of(suite: InProcessSuite) -> LimitRules:
    """What the suite's router knows of the limits."""
    return suite.pipeline._admission._reserving._rules


async def used_of(suite: InProcessSuite, limit_id: str) -> int:
    """What the limit counts for the suite's caller, reserved or settled."""
    peeked = await suite.ratelimit.Peek(ratelimit.PeekRequest(caller=suite.caller))
    (status,) = [status for status in peeked.statuses if status.limit_id == limit_id]
    return status.limit - status.remaining


async def spent(suite: InProcessSuite) -> int:
    """What the ledger booked for the suite's organisation, in nano-USD."""
    return sum(entry.cost.amount_nanos for entry in await suite.entries())
