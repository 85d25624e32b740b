"""Whatever is done to both, Redis reads what memory reads."""

from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.cache.store import EntryStore
from tests.contract.cache.conftest import memory_store, redis_store
from tests.unit.cache.entries import NOW, SECOND, address, write

Step = tuple[Any, ...]
ORGANIZATIONS, NUMBERS, TAGS = ("a", "b"), (1, 2, 3), ("x", "y")

organizations, numbers = st.sampled_from(ORGANIZATIONS), st.sampled_from(NUMBERS)
tag_sets = st.lists(st.sampled_from(TAGS), unique=True).map(tuple)
steps = st.one_of(
    st.tuples(
        st.just("write"),
        st.lists(st.tuples(organizations, numbers, st.binary(min_size=1, max_size=3), tag_sets), min_size=1),
    ),
    st.tuples(st.just("forget"), organizations, numbers),
    st.tuples(st.just("forget_tag"), organizations, st.sampled_from(TAGS)),
    st.tuples(st.just("forget_organization"), organizations),
    st.tuples(st.just("wait"), st.integers(1, 40)),
)
_examples = count()


async def take(store: EntryStore, step: Step, example: str, now: int) -> None:
    match step:
        case ("write", items):
            writes = [
                write(example + name, number, value, tags=tags, now=now, ttl_seconds=60)
                for name, number, value, tags in items
            ]
            await store.write(writes, now)
        case ("forget", name, number):
            await store.forget(address(example + name, number))
        case ("forget_tag", name, tag):
            await store.forget_tag(example + name, tag)
        case ("forget_organization", name):
            await store.forget_organization(example + name)


@given(st.lists(steps, max_size=12))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_redis_reads_what_memory_reads_after_any_history(redis_url: str, history: list[Step]) -> None:
    memory, redis = memory_store(), redis_store(redis_url)
    example, now = f"{next(_examples)}-", NOW
    everything = [address(example + name, number) for name in ORGANIZATIONS for number in NUMBERS]
    for step in history:
        now += step[1] * SECOND if step[0] == "wait" else 0
        for store in (memory, redis):
            await take(store, step, example, now)
        assert await redis.read(everything, now) == await memory.read(everything, now)
    await redis.close()
