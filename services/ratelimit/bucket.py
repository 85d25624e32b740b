"""The bucket of one limit that a request falls into, and how such a bucket stands."""

from enum import IntEnum

from msgspec import Struct

from services.ratelimit.limit import Limit, Metric, SlidingWindow, TokenBucket


class Kind(IntEnum):
    """How a bucket counts over time; the Lua scripts use the same numbers."""

    TOKEN_BUCKET = 1
    SLIDING_WINDOW = 2


class Shape(Struct, frozen=True, gc=False):
    """How a bucket counts over time.

    A token bucket gains `amount` in `interval_us`. Of a sliding window `amount` is the window's length and
    `interval_us` a slot's, both in microseconds.
    """

    kind: Kind
    amount: int
    interval_us: int


class Bucket(Struct, frozen=True, gc=False):
    """One limit's bucket for one request."""

    key: str
    limit_id: str
    metric: Metric
    shape: Shape
    capacity: int
    shadow: bool


class Standing(Struct, frozen=True, gc=False):
    """How one bucket stands after a decision.

    `remaining` is what could be taken now, never negative. `exceeded`: the request did not fit. `fits_after_us` is then
    how long until it would, if nothing more is taken; None when it asks for more than the bucket can ever hold.
    """

    limit_id: str
    metric: Metric
    capacity: int
    shadow: bool
    exceeded: bool
    remaining: int
    reset_after_us: int
    fits_after_us: int | None = 0


def shape_of(limit: Limit) -> Shape:
    match limit.algorithm:
        case TokenBucket() as bucket:
            amount, interval_us = bucket.reduced()
            return Shape(Kind.TOKEN_BUCKET, amount, interval_us)
        case SlidingWindow() as window:
            return Shape(Kind.SLIDING_WINDOW, window.window_us, window.slot_us)
