"""What every EntryStore does, over each that there is."""

import pytest

from services.cache.entry import Entry, Usage
from services.cache.store import MAX_FORGOTTEN_TAGS, Address, EntryStore, Write
from tests.unit.cache.entries import NOW, SECOND, address, entry, key, write


async def read(store: EntryStore, at: Address, now: int = NOW) -> Entry | None:
    (found,) = await store.read([at], now)
    return found


async def test_what_was_written_is_read_back_in_every_part(store: EntryStore) -> None:
    largest = 2**63 - 1
    written = Entry(b"\x00\xff bytes", NOW, NOW + SECOND, Usage(1, 2, 3, 4, 5, 2), largest)
    result = await store.write([Write(address(), written, ("model:m", "größe"))], NOW)
    assert (list(result.kept), dict(result.evicted)) == ([True], {})
    assert await read(store, address()) == written


async def test_nothing_is_read_where_nothing_was_written(store: EntryStore) -> None:
    assert await read(store, address()) is None


async def test_reads_and_writes_answer_in_the_order_of_the_items_over_any_organisations(
    store: EntryStore,
) -> None:
    spots = [("b", 1), ("a", 1), ("b", 2), ("a", 2)]
    await store.write([write(name, number, f"{name}{number}".encode()) for name, number in spots], NOW)
    asked = [address("a", 2), address("c", 1), address("b", 1), address("a", 2), address("b", 3)]
    values = [found and found.value for found in await store.read(asked, NOW)]
    assert values == [b"a2", None, b"b1", b"a2", None]


async def test_a_write_takes_the_place_of_what_stood_there_and_the_last_of_a_batch_stays(
    store: EntryStore,
) -> None:
    await store.write([write(value=b"first", tags=("old",))], NOW)
    await store.write([write(value=b"second"), write(value=b"third")], NOW)
    await store.forget_tag("org", "old")
    assert await read(store, address()) == entry(b"third")


async def test_an_entry_lives_until_the_nanosecond_at_which_it_expires(store: EntryStore) -> None:
    await store.write([write(ttl_seconds=60)], NOW)
    assert await read(store, address(), NOW + 60 * SECOND - 1) == entry(ttl_seconds=60)
    assert await read(store, address(), NOW + 60 * SECOND) is None


async def test_an_organisation_reads_replaces_and_forgets_only_what_is_its_own(store: EntryStore) -> None:
    await store.write([write("mine", 1, b"mine", tags=("tag",))], NOW)
    assert await read(store, address("theirs", 1)) is None
    await store.write([write("theirs", 1, b"theirs")], NOW)
    await store.forget(address("theirs", 1))
    await store.forget_tag("theirs", "tag")
    await store.forget_organization("theirs")
    assert await read(store, address("mine", 1)) == entry(b"mine")


@pytest.mark.parametrize("odd", ["}", "{", "a}:epochs", "%7D", "ö/ü", " ", "*", "a:b", ""])
async def test_no_organisation_id_can_reach_into_another(store: EntryStore, odd: str) -> None:
    others = ["a", "{}", "a}", "epochs"]
    await store.write([write(odd, 1, b"odd"), *[write(other, 1, b"other") for other in others]], NOW)
    await store.forget_organization(odd)
    found = await store.read([address(odd), *[address(other) for other in others]], NOW)
    assert found == [None, *[entry(b"other")] * len(others)]


async def test_forgetting_a_key_forgets_that_entry_alone(store: EntryStore) -> None:
    await store.write([write(number=1), write(number=2)], NOW)
    await store.forget(address(number=1))
    await store.forget(address(number=3))
    assert await store.read([address(number=1), address(number=2)], NOW) == [None, entry()]


async def test_forgetting_a_tag_forgets_what_was_written_with_it_before(store: EntryStore) -> None:
    tagged = [write(number=1, tags=("a", "b")), write(number=2, tags=("b",)), write(number=3)]
    await store.write(tagged, NOW)
    await store.forget_tag("org", "a")
    assert await store.read([address(number=n) for n in (1, 2, 3)], NOW) == [None, entry(), entry()]
    await store.write([write(number=1, tags=("a", "b"))], NOW)
    assert await read(store, address(number=1)) == entry()
    await store.forget_tag("org", "b")
    assert await store.read([address(number=n) for n in (1, 2, 3)], NOW) == [None, None, entry()]


async def test_a_tag_forgotten_before_anything_was_written_forgets_nothing(store: EntryStore) -> None:
    await store.forget_tag("org", "a")
    await store.write([write(tags=("a",))], NOW)
    assert await read(store, address()) == entry()


async def test_forgetting_an_organisation_forgets_all_of_it_once(store: EntryStore) -> None:
    await store.write([write(number=number, tags=("t",)) for number in range(40)], NOW)
    await store.forget_organization("org")
    assert await store.read([address(number=number) for number in range(40)], NOW) == [None] * 40
    await store.write([write(number=7, value=b"new")], NOW)
    found = await store.read([address(number=number) for number in range(40)], NOW)
    assert [each for each in found if each] == [entry(b"new")]


async def test_forgetting_tags_without_end_stays_right_and_bounded(store: EntryStore) -> None:
    await store.write([write(number=1, tags=("t-0",)), write(number=2)], NOW)
    for number in range(MAX_FORGOTTEN_TAGS):
        await store.forget_tag("org", f"t-{number}")
    assert await store.read([address(number=1), address(number=2)], NOW) == [None, entry()]
    await store.forget_tag("org", "one too many")
    assert await read(store, address(number=2)) is None
    await store.write([write(number=2)], NOW)
    assert await read(store, address(number=2)) == entry()


async def test_tags_that_contain_anything_name_only_themselves(store: EntryStore) -> None:
    tags = ("epoch", "generation", "tag:x", "x", "ü" * 256, "a\x00b", " ")
    await store.write([write(number=n, tags=(tag,)) for n, tag in enumerate(tags)], NOW)
    await store.forget_tag("org", "x")
    found = await store.read([address(number=n) for n in range(len(tags))], NOW)
    assert [tag for tag, each in zip(tags, found, strict=True) if each is None] == ["x"]


async def test_a_large_batch_is_one_call(store: EntryStore) -> None:
    writes = [write(f"org-{n % 3}", n, b"v" * n) for n in range(1, 257)]
    assert all((await store.write(writes, NOW)).kept)
    found = await store.read([each.address for each in writes], NOW)
    assert [each and len(each.value) for each in found] == list(range(1, 257))


async def test_a_value_of_megabytes_comes_back_whole(store: EntryStore) -> None:
    value = bytes(range(256)) * 16 * 1024
    await store.write([write(value=value)], NOW)
    found = await read(store, address())
    assert found is not None
    assert found.value == value


async def test_keys_differ_in_any_byte(store: EntryStore) -> None:
    near = [key(0), key(1), key(1 << 255), key(10)]
    await store.write([Write(Address("org", k), entry(k)) for k in near[1:]], NOW)
    found = await store.read([Address("org", k) for k in near], NOW)
    assert [each and each.value for each in found] == [None, *near[1:]]


async def test_what_an_exchange_writes_is_there_for_what_it_reads(store: EntryStore) -> None:
    await store.write([write("b", 1, b"before")], NOW)
    written, found = await store.exchange(
        [write("a", 1, b"new"), write("b", 1, b"after")],
        [address("b", 1), address("c", 1), address("a", 1)],
        NOW,
    )
    assert list(written.kept) == [True, True]
    assert [each and each.value for each in found] == [b"after", None, b"new"]
