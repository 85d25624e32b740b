"""Questions about the ledger, on both databases."""

import pytest
from sqlalchemy.exc import DBAPIError

from services.billing.books import Capture
from services.billing.pricing import TokenCounts
from services.billing.usage import (
    NS_PER_DAY,
    Dimension,
    EntryPosition,
    UsageFilter,
    UsageQuery,
    UsageRecord,
    UsageSum,
)
from tests.contract.billing.stores import ALICE, BOB, DAY, NOON, Stores, used

TODAY = NOON // NS_PER_DAY
EVERYTHING = UsageRecord(
    attempt_id="full",
    completion_id="c",
    caller=ALICE,
    provider="house",
    model="unit",
    tokens=TokenCounts(100, 50, 30, 20, 10),
    start_ns=NOON - 2,
    end_ns=NOON - 1,
    outcome=3,
    requested_model="alias",
    usage_source=2,
    cache_status=2,
    first_token_ns=1,
    labels={"team": "größe", "b": ""},
    end_user_id="user-7",
    service_tier="batch",
)


async def book(stores: Stores, *records: UsageRecord) -> None:
    await stores.ledger.post([Capture("", (record,)) for record in records])


async def sums(
    stores: Stores, group_by: list[Dimension], where: UsageFilter | None = None, **paging: int
) -> list[UsageSum]:
    query = UsageQuery(where or UsageFilter(), group_by, stores.clock())
    return list(await stores.ledger.sums(query, paging.get("offset", 0), paging.get("limit", 100)))


async def test_an_entry_comes_back_as_it_was_booked(stores: Stores) -> None:
    await stores.ledger.post([Capture("h", (EVERYTHING,))])
    (entry,) = await stores.ledger.entries(UsageFilter(), None, 10)
    assert entry.record == EVERYTHING
    assert (entry.cost.nanos, entry.cost.price_id, entry.hold_id, entry.book_ns) == (
        200,
        "test:unit",
        "h",
        NOON,
    )
    assert entry.digest == EVERYTHING.digest()


async def test_entries_are_listed_newest_first_in_pages(stores: Stores) -> None:
    await book(stores, *(used(f"a{n}", 1, end_ns=NOON - n // 2) for n in range(5)))
    first = await stores.ledger.entries(UsageFilter(), None, 3)
    last = first[-1].record
    rest = await stores.ledger.entries(UsageFilter(), EntryPosition(last.end_ns, last.attempt_id), 3)
    assert [entry.record.attempt_id for entry in (*first, *rest)] == ["a1", "a0", "a3", "a2", "a4"]


async def test_sums_over_everything_are_one_row(stores: Stores) -> None:
    await book(
        stores, EVERYTHING, used("a", 5), used("hit", 7, cache_status=3), used("?", 9, model="unheard-of")
    )
    assert await sums(stores, []) == [UsageSum((), 4, 1, TokenCounts(100, 64, 30, 20, 10), True, 210, 1)]


async def test_nothing_used_is_no_row(stores: Stores) -> None:
    assert await sums(stores, []) == []


async def test_sums_come_newest_day_first_then_by_cost(stores: Stores) -> None:
    await book(
        stores,
        used("a", 1, end_ns=NOON - DAY),
        used("b", 9, caller=BOB, end_ns=NOON - DAY),
        used("c", 2),
        used("d", 3, caller=BOB),
    )
    found = await sums(stores, [Dimension.DAY, Dimension.USER])
    assert [(row.group, row.cost_nanos) for row in found] == [
        ((TODAY, "bob"), 6),
        ((TODAY, "alice"), 4),
        ((TODAY - 1, "bob"), 18),
        ((TODAY - 1, "alice"), 2),
    ]
    assert await sums(stores, [Dimension.DAY, Dimension.USER], offset=1, limit=2) == found[1:3]


@pytest.mark.parametrize(
    ("where", "attempts"),
    [
        (UsageFilter(organization_id="acme"), 3),
        (UsageFilter(organization_id="other"), 0),
        (UsageFilter(user_id="bob"), 1),
        (UsageFilter(key_id="key-a"), 2),
        (UsageFilter(provider="house", model="unit"), 3),
        (UsageFilter(model="other"), 0),
        (UsageFilter(start_ns=NOON), 2),
        (UsageFilter(end_ns=NOON), 1),
        (UsageFilter(start_ns=NOON, end_ns=NOON + 1), 1),
    ],
)
async def test_a_filter_selects_what_matches_every_field(
    stores: Stores, where: UsageFilter, attempts: int
) -> None:
    await book(stores, used("a", 1, end_ns=NOON - 1), used("b", 1), used("c", 1, caller=BOB, end_ns=NOON + 1))
    assert sum(row.attempts for row in await sums(stores, [], where)) == attempts
    assert len(await stores.ledger.entries(where, None, 10)) == attempts


async def test_pages_of_one_query_agree_while_more_is_booked(stores: Stores) -> None:
    await book(stores, used("a", 1))
    query = UsageQuery(UsageFilter(), [], stores.clock())
    before = await stores.ledger.sums(query, 0, 10)
    stores.clock.now_ns += 1
    await book(stores, used("b", 1))
    assert await stores.ledger.sums(query, 0, 10) == before


async def test_groups_by_every_dimension_at_once(stores: Stores) -> None:
    await book(stores, used("a", 1))
    (row,) = await sums(stores, list(Dimension))
    assert row.group == ("acme", "alice", "key-a", "unit", "house", TODAY)


@pytest.mark.parametrize("sql", ["UPDATE ledger SET cost_nanos = 0", "DELETE FROM ledger"])
async def test_the_database_itself_refuses_to_change_an_entry(stores: Stores, sql: str) -> None:
    await book(stores, used("a", 1))
    with pytest.raises(DBAPIError, match="never change"):
        await stores.database.write(lambda connection: connection.exec_driver_sql(sql))
    assert len(await stores.ledger.entries(UsageFilter(), None, 10)) == 1
