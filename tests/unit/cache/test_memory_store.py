"""MemoryEntryStore keeps its caps to the byte, forgets the least recently used, and lets no organisation push out all."""

import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.cache.entry import Usage
from services.cache.store import Address, Occupancy, Write
from services.cache.stores.memory import MemoryEntryStore
from services.cache.stores.shelves import (
    ENTRY_OVERHEAD_BYTES,
    SHELF_OVERHEAD_BYTES,
    entry_bytes,
    mark_bytes,
    shelf_bytes,
)
from tests.unit.cache.entries import NOW, SECOND, address, entry, key, write

Step = tuple[Any, ...]
ROOM = entry_bytes(write())
SHELF = shelf_bytes("org")

steps = st.one_of(
    st.tuples(
        st.just("write"),
        st.sampled_from("ab"),
        st.integers(1, 8),
        st.integers(1, 1500),
        st.lists(st.sampled_from("xyz"), unique=True).map(tuple),
        st.integers(1, 9),
    ),
    st.tuples(st.just("read"), st.sampled_from("ab"), st.integers(1, 8)),
    st.tuples(st.just("forget"), st.sampled_from("ab"), st.integers(1, 8)),
    st.tuples(st.just("forget_tag"), st.sampled_from("ab"), st.sampled_from("xyz")),
    st.tuples(st.just("forget_organization"), st.sampled_from("ab")),
    st.tuples(st.just("wait"), st.integers(1, 5)),
)


async def take(store: MemoryEntryStore, step: Step, now: int) -> None:
    match step:
        case ("write", name, number, size, tags, ttl):
            await store.write([write(name, number, b"v" * size, tags=tags, now=now, ttl_seconds=ttl)], now)
        case ("read", name, number):
            await store.read([address(name, number)], now)
        case ("forget", name, number):
            await store.forget(address(name, number))
        case ("forget_tag", name, tag):
            await store.forget_tag(name, tag)
        case ("forget_organization", name):
            await store.forget_organization(name)


def recount(store: MemoryEntryStore) -> dict[str, int]:
    """The bytes of each live organisation, and of all under the empty name, counted from what is really there."""
    shelves = store._shelves
    nodes = {id(node): node for node in shelves._recency}
    by_name = dict.fromkeys(shelves._live, 0)
    for shelf in [*shelves._live.values(), *shelves._discarded]:
        assert shelf.nodes, "an empty shelf stays"
        own = shelf_bytes(shelf.organization_id) + sum(mark_bytes(tag) for tag in shelf.marks)
        for node in shelf.nodes.values():
            assert nodes.pop(id(node)) is node
            own += entry_bytes(Write(Address(shelf.organization_id, node.key), node.entry, node.tags))
        if shelves._live.get(shelf.organization_id) is shelf:
            by_name[shelf.organization_id] = own
        by_name[""] = by_name.get("", 0) + own
    assert not nodes, "an entry is on no shelf"
    return by_name


@given(
    st.lists(steps, max_size=40),
    st.integers(2 * SHELF + ROOM, 16_000),
    st.integers(SHELF + ROOM, 12_000),
)
async def test_bytes_stay_below_both_caps_and_equal_a_recount_after_any_history(
    history: list[Step], max_bytes: int, max_organization_bytes: int
) -> None:
    store, now = MemoryEntryStore(max_bytes, max_organization_bytes), NOW
    for step in history:
        now += step[1] * SECOND if step[0] == "wait" else 0
        await take(store, step, now)
        counted = recount(store)
        total = store.occupancy(None)
        assert total.bytes == counted.pop("", 0) <= max_bytes
        assert total.entries == sum(len(shelf.nodes) for shelf in store._shelves._live.values())
        for name in "ab":
            assert store.occupancy(name).bytes == counted.get(name, 0) <= max_organization_bytes


@given(
    st.lists(st.tuples(st.sampled_from(["write", "read"]), st.integers(1, 9)), max_size=40), st.integers(1, 5)
)
async def test_what_goes_is_the_least_recently_used(history: list[tuple[str, int]], capacity: int) -> None:
    store = MemoryEntryStore(SHELF + capacity * ROOM, 10**9)
    expected: OrderedDict[int, None] = OrderedDict()
    evicted = 0
    for what, number in history:
        if what == "write":
            result = await store.write([write(number=number)], NOW)
            expected[number] = None
            expected.move_to_end(number)
            gone = len(expected) > capacity
            evicted += result.evicted.get("org", 0)
            if gone:
                expected.popitem(last=False)
            assert result.evicted == ({"org": 1} if gone else {})
        else:
            (found,) = await store.read([address(number=number)], NOW)
            assert (found is not None) == (number in expected)
            if found is not None:
                expected.move_to_end(number)
    assert store.occupancy("org").entries == len(expected)


async def test_an_organisation_at_its_cap_makes_room_among_its_own() -> None:
    store = MemoryEntryStore(10 * (SHELF + ROOM), shelf_bytes("noisy") + 2 * ROOM)
    await store.write([write("quiet", 1)], NOW)
    noisy = [write("noisy", number) for number in range(100)]
    assert (await store.write(noisy, NOW)).evicted == {"noisy": 98}
    assert await store.read([address("quiet", 1), address("noisy", 99)], NOW) == [entry(), entry()]
    assert store.occupancy("noisy").entries == 2


async def test_however_much_one_organisation_writes_the_others_keep_what_is_above_its_cap() -> None:
    store = MemoryEntryStore(2 * (SHELF + 8 * ROOM) + 64, SHELF + 8 * ROOM + 32)
    await store.write([write("quiet", number) for number in range(8)], NOW)
    await store.write([write("noisy", number) for number in range(500)], NOW)
    assert store.occupancy("quiet").entries == 8


async def test_an_organisation_whose_only_entry_goes_for_its_next_keeps_that() -> None:
    store = MemoryEntryStore(2 * SHELF + 2 * ROOM, 10**9)
    await store.write([write("org", 1), write("two", 1)], NOW)
    assert (await store.write([write("org", 2)], NOW)).evicted == {"org": 1}
    assert await store.read([address("org", 2), address("two", 1)], NOW) == [entry(), entry()]
    assert recount(store) == {"org": SHELF + ROOM, "two": SHELF + ROOM, "": 2 * (SHELF + ROOM)}


async def test_an_entry_that_could_never_fit_is_not_kept_and_what_stood_there_stays() -> None:
    store = MemoryEntryStore(SHELF + 2 * ROOM, SHELF + 2 * ROOM)
    await store.write([write(value=b"small")], NOW)
    large = b"v" * (2 * ROOM)
    result = await store.write([write(number=2, value=large), write(value=large), write(number=3)], NOW)
    assert list(result.kept) == [False, False, True]
    assert await store.read([address()], NOW) == [entry(b"small")]


async def test_expired_entries_leave_though_nobody_reads_them_and_are_no_evictions() -> None:
    store = MemoryEntryStore(SHELF + 4 * ROOM, 10**9)
    await store.write([write(number=number, ttl_seconds=1) for number in range(4)], NOW)
    result = await store.write([write(number=9)], NOW + SECOND)
    assert result.evicted == {}
    assert store.occupancy(None).entries == 1


async def test_a_forgotten_organisation_takes_no_room_from_others_and_soon_none_at_all() -> None:
    store = MemoryEntryStore(2 * SHELF + 100 * ROOM, 10**9)
    await store.write([write("gone", number) for number in range(99)], NOW)
    await store.forget_organization("gone")
    assert (store.occupancy(None).entries, store.occupancy("gone").bytes) == (0, 0)
    result = await store.write([write("org", number) for number in range(99)], NOW)
    assert (sum(result.kept), result.evicted) == (99, {})
    for _ in range(20):
        await store.read([address()], NOW)
    assert store.occupancy(None).bytes == store.occupancy("org").bytes


async def test_the_overheads_that_are_counted_cover_what_python_takes_and_not_twice_as_much() -> None:
    store, written = MemoryEntryStore(10**9, 10**9), 2000

    async def taken_by(organization_id: Callable[[int], str]) -> float:
        tracemalloc.start()
        for number in range(written):
            usage = Usage(*range(number + 1000, number + 1005))
            kept = entry(bytes(2), now=NOW + number, cost_nanos=10**9 + number, usage=usage)
            await store.write([Write(Address(organization_id(number), key(number)), kept)], NOW)
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return taken / written

    per_entry = await taken_by(lambda number: "org")
    per_shelf = await taken_by(lambda number: f"organisation {number}") - per_entry
    assert ENTRY_OVERHEAD_BYTES / 2 < per_entry <= ENTRY_OVERHEAD_BYTES
    assert SHELF_OVERHEAD_BYTES / 2 < per_shelf <= SHELF_OVERHEAD_BYTES


async def test_the_mark_of_a_forgotten_tag_is_counted_and_leaves_with_the_last_entry() -> None:
    store = MemoryEntryStore(10**6, 10**6)
    await store.write([write()], NOW)
    await store.forget_tag("org", "tag")
    await store.forget_tag("org", "tag")
    assert store.occupancy("org").bytes == SHELF + ROOM + mark_bytes("tag")
    await store.forget(address())
    assert store.occupancy(None) == Occupancy(0, 0)
