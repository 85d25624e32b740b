"""Several processes on one PostgreSQL, and one alone on SQLite."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import make_url

from services.billing.books import Authorized, Capture, Captured, Operation, Void
from services.billing.budgets import Budget, Period
from services.billing.errors import StoreUnavailableError
from services.billing.pricing import Price, Source, Tier
from services.billing.stores.sql.postgresql import open_postgresql
from services.billing.stores.sql.sqlite import StoreInUseError, open_sqlite
from services.billing.usage import UsageFilter
from tests.contract.billing.stores import ALICE, BOB, Stores, hold, opened, used
from tests.support.postgres_server import PostgresServer


@pytest.fixture
async def replicas(postgres_url: str) -> AsyncIterator[list[Stores]]:
    async with AsyncExitStack() as running:
        yield [
            await running.enter_async_context(opened(lambda: open_postgresql(make_url(postgres_url), 3)))
            for _ in range(3)
        ]


async def test_concurrent_holds_of_three_replicas_never_take_more_than_the_budget(
    replicas: list[Stores],
) -> None:
    await replicas[0].budgets.put_budget(Budget("b", "acme", 20 * 20, Period.TOTAL))
    answers = await asyncio.gather(
        *(replicas[n % 3].ledger.post([hold(f"h{n}", 10)]) for n in range(64)),
    )
    assert sum(isinstance(result, Authorized) for (result,) in answers) == 20
    status = await replicas[1].budgets.budget("b")
    assert status.held_nanos == 400


async def test_a_budget_made_by_one_replica_binds_the_others_at_once(replicas: list[Stores]) -> None:
    await replicas[1].ledger.post([hold("warm", 1)])
    await replicas[0].budgets.put_budget(Budget("b", "acme", 2, Period.TOTAL))
    (result,) = await replicas[1].ledger.post([hold("h", 1)])
    assert not isinstance(result, Authorized)


async def test_a_price_added_by_one_replica_is_applied_by_the_others_at_once(replicas: list[Stores]) -> None:
    await replicas[1].ledger.post([Capture("", (used("warm", 1),))])
    tier = Tier(0, 7_000_000, 7_000_000)
    await replicas[0].prices.add_price(Price("v7", "house", "unit", (tier,), source=Source.API))
    (result,) = await replicas[1].ledger.post([Capture("", (used("a", 1),))])
    assert isinstance(result, Captured)
    assert result.costs[0].nanos == 7


async def test_the_same_calls_to_every_replica_at_once_count_once(replicas: list[Stores]) -> None:
    await replicas[0].budgets.put_budget(Budget("a", "acme", 10**6, Period.TOTAL, user_id="alice"))
    await replicas[0].budgets.put_budget(Budget("b", "acme", 10**6, Period.DAY))
    operations: list[Operation] = []
    for n in range(30):
        caller = (ALICE, BOB)[n % 2]
        operations.append(hold(f"h{n}", 10, caller))
        operations.append(Capture(f"h{n}", (used(f"a{n}", 3, caller=caller),)) if n % 3 else Void(f"h{n}"))

    async def send(replica: Stores, order: list[Operation]) -> None:
        for start in range(0, len(order), 4):
            await replica.ledger.post(order[start : start + 4])

    rotated = [operations[shift:] + operations[:shift] for shift in (0, 20, 40)]
    await asyncio.gather(*map(send, replicas, rotated))
    # Those whose Authorize came last somewhere are resolved already, and refused.
    total, alice = await replicas[0].budgets.budget("b"), await replicas[0].budgets.budget("a")
    assert (total.spent_nanos, total.held_nanos) == (20 * 6, 0)
    assert (alice.spent_nanos, alice.held_nanos) == (10 * 6, 0)
    assert len(await replicas[2].ledger.entries(UsageFilter(), None, 100)) == 20


async def test_budgets_that_change_while_usage_is_booked_lose_nothing(replicas: list[Stores]) -> None:
    async def book(replica: Stores, name: str) -> None:
        for n in range(20):
            await replica.ledger.post([Capture("", (used(f"{name}{n}", 1),)), hold(f"{name}{n}", 1)])

    async def change() -> None:
        for n in range(10):
            await replicas[2].budgets.put_budget(Budget("b", "acme", 1000 + n, Period.DAY))

    await asyncio.gather(book(replicas[0], "x"), book(replicas[1], "y"), change())
    status = await replicas[0].budgets.budget("b")
    assert (status.spent_nanos, status.held_nanos) == (80, 80)


async def test_a_second_process_on_one_sqlite_file_is_refused(tmp_path: Path) -> None:
    first = open_sqlite(tmp_path / "billing.db")
    with pytest.raises(StoreInUseError, match=r"billing\.db is in use"):
        open_sqlite(tmp_path / "billing.db")
    await first.close()
    await open_sqlite(tmp_path / "billing.db").close()


async def test_a_killed_postgresql_is_unavailable_and_comes_back_with_everything() -> None:
    with PostgresServer.running() as server:
        url = make_url(server.new_database())
        async with opened(lambda: open_postgresql(url, 3)) as stores:
            await stores.ledger.post([Capture("", (used("a", 1),))])
            server.kill()
            with pytest.raises(StoreUnavailableError):
                await stores.ledger.post([Capture("", (used("b", 1),))])
            with pytest.raises(StoreUnavailableError):
                await stores.accounts.stored_key("k")
            server.start()
            await stores.ledger.post([Capture("", (used("b", 1),))])
            entries = await stores.ledger.entries(UsageFilter(), None, 10)
            assert [entry.record.attempt_id for entry in entries] == ["b", "a"]
