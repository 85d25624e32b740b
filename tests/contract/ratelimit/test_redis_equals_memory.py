"""The memory store is the oracle of the Lua scripts: whatever is done to both, they answer the same."""

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ratelimit.binding import LimitTable
from services.ratelimit.bucket import Bucket
from services.ratelimit.limit import Algorithm, Caller, Dimension, Limit, Metric, SlidingWindow, TokenBucket
from services.ratelimit.store import BucketStore, Reservation, Resolution
from tests.contract.ratelimit.stores import Clock, memory_store, redis_store

DAY = 86_400_000_000
MOST = 10**15

small = st.integers(0, 30)
amounts_of = st.sampled_from([small, st.integers(0, 10**6), st.integers(0, MOST)]).flatmap(lambda each: each)
rates = st.sampled_from(
    [(1, 1_000_000), (7, 3_000_000), (1_000_003, DAY), (MOST, 366 * DAY), (MOST - 1, DAY - 7), (3, 366 * DAY)]
)
algorithms: st.SearchStrategy[Algorithm] = st.one_of(
    st.builds(
        lambda rate, burst: TokenBucket(rate[0], rate[1], burst), rates, st.sampled_from([5, 40, 10**6, MOST])
    ),
    st.builds(
        SlidingWindow, st.sampled_from([5, 40, MOST]), st.sampled_from([1_000_000, 60_000_000, DAY + 1])
    ),
)
limits = st.lists(st.tuples(algorithms, st.sampled_from(Metric), st.booleans()), min_size=1, max_size=4)
ids = st.integers(0, 15).map("r{}".format)
pauses = st.one_of(
    st.integers(0, 3), st.integers(0, 3_000_000), st.integers(0, 90_000_000), st.integers(0, 3 * DAY)
)
vectors = st.tuples(amounts_of, amounts_of, amounts_of, amounts_of, amounts_of)
items = st.tuples(ids, vectors, st.integers(1_000_000, 100_000_000), st.integers(1, 15))
ends = st.tuples(ids, vectors)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("pause"), pauses),
        st.tuples(st.just("exchange"), st.tuples(st.just([]), st.lists(items, min_size=1, max_size=12))),
        st.tuples(st.just("exchange"), st.tuples(st.lists(ends, min_size=1, max_size=4), st.just([]))),
        st.tuples(st.just("exchange"), st.tuples(st.lists(ends, max_size=4), st.lists(items, max_size=8))),
        st.tuples(st.just("release"), ids),
        st.tuples(st.just("renew"), st.tuples(ids, st.integers(1_000_000, 10_000_000))),
        st.tuples(st.just("reshape"), st.tuples(st.integers(0, 3), algorithms)),
        st.tuples(st.just("peek"), st.none()),
    ),
    min_size=1,
    max_size=40,
)


class World:
    """A store, its clock, and the limits as they are now."""

    def __init__(self, store: BucketStore, clock: Clock, organization_id: str) -> None:
        self._store = store
        self._clock = clock
        self._organization_id = organization_id

    async def do(self, name: str, argument: Any, table: tuple[Bucket, ...]) -> Any:
        match name:
            case "pause":
                return await self._clock.advance(argument)
            case "exchange":
                ended, asked = argument
                return await self._store.exchange(self._resolutions(ended), self._reservations(asked, table))
            case "release":
                return await self._store.release(self._organization_id, argument)
            case "renew":
                return await self._store.renew(self._organization_id, *argument)
            case _:
                return await self._store.peek(table)

    def _reservations(self, drawn: list[Any], table: tuple[Bucket, ...]) -> list[Reservation]:
        return [
            Reservation(
                self._organization_id,
                each,
                wanted,
                [bucket for place, bucket in enumerate(table) if mask & (1 << place)],
                ttl,
            )
            for each, wanted, ttl, mask in drawn
            if mask % (1 << len(table))
        ]

    def _resolutions(self, drawn: list[Any]) -> list[Resolution]:
        return [Resolution(self._organization_id, *each) for each in drawn]


def bound(drawn: list[tuple[Algorithm, Metric, bool]], organization_id: str) -> tuple[Bucket, ...]:
    all_limits = [
        Limit(f"l{place}", metric, algorithm, per=(Dimension.ORGANIZATION,), shadow=shadow)
        for place, (algorithm, metric, shadow) in enumerate(drawn)
    ]
    return LimitTable(all_limits).bind(Caller(organization_id), "", {})


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


async def compare(url: str, drawn: list[Any], steps: list[tuple[str, Any]]) -> None:
    # Each run begins with empty buckets in the one Redis of all.
    organization_id = secrets.token_hex(8)
    async with memory_store() as memory, redis_store(url) as redis:
        worlds = [World(*each, organization_id) for each in (memory, redis)]
        table = bound(drawn, organization_id)
        for name, argument in steps:
            if name == "reshape":
                place = argument[0] % len(drawn)
                drawn[place] = (argument[1], *drawn[place][1:])
                table = bound(drawn, organization_id)
                continue
            expected, answered = [await world.do(name, argument, table) for world in worlds]
            assert answered == expected, (name, argument)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=limits, steps=operations)
def test_redis_answers_as_memory_does(
    runner: asyncio.Runner, redis_url: str, drawn: list[Any], steps: list[Any]
) -> None:
    runner.run(compare(redis_url, list(drawn), steps))
