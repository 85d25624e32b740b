"""The memory store lets go of what is no longer needed."""

from services.ratelimit.binding import LimitTable
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
from services.ratelimit.stores.expiry import ExpiryWheel
from services.ratelimit.stores.memory import MemoryBucketStore

SECOND = 1_000_000
TABLE = LimitTable(
    [
        Limit("rate", Metric.REQUESTS, TokenBucket(1, SECOND, 5), per=(Dimension.ORGANIZATION,)),
        Limit("window", Metric.REQUESTS, SlidingWindow(5, 60 * SECOND), per=(Dimension.ORGANIZATION,)),
    ]
)


class Clock:
    now_us = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now_us


def request(number: int) -> Reservation:
    organization_id = f"org-{number}"
    buckets = TABLE.bind(Caller(organization_id), "", {})
    return Reservation(organization_id, "r", amounts(requests=1), buckets, 600 * SECOND)


async def test_full_buckets_and_old_reservations_are_dropped() -> None:
    clock = Clock()
    store = MemoryBucketStore(clock)
    for number in range(1000):
        await store.reserve([request(number)])
        await store.settle([Resolution(f"org-{number}", "r", amounts(requests=1))])
    assert len(store) == 3000
    clock.now_us += 602 * SECOND
    await store.peek(())
    assert len(store) == 0


async def test_a_steady_stream_of_new_callers_keeps_a_steady_size() -> None:
    clock = Clock()
    store = MemoryBucketStore(clock)
    sizes = []
    for number in range(4000):
        await store.reserve([request(number)])
        clock.now_us += SECOND
        sizes.append(len(store))
    assert max(sizes[2000:]) <= max(sizes[:2000]) + 3


async def test_a_bucket_that_is_not_free_again_is_kept() -> None:
    clock = Clock()
    store = MemoryBucketStore(clock)
    await store.reserve([request(1)])
    for _ in range(59):
        clock.now_us += SECOND
        _, window = await store.peek(TABLE.bind(Caller("org-1"), "", {}))
        assert window.remaining == 4


def test_the_wheel_gives_each_thing_once_and_never_early() -> None:
    wheel: ExpiryWheel[str] = ExpiryWheel()
    wheel.add("a", 5 * SECOND)
    wheel.add("b", 9 * SECOND)
    assert list(wheel.due(5 * SECOND - 1)) == []
    assert list(wheel.due(6 * SECOND)) == ["a"]
    assert list(wheel.due(7 * SECOND)) == []
    assert list(wheel.due(10**6 * SECOND)) == ["b"]
    wheel.add("late", 1)
    assert list(wheel.due(10**6 * SECOND + SECOND)) == ["late"]
