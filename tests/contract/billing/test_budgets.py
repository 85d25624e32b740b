"""Budgets on both databases: what they count, and who may change them."""

import pytest

from services.billing.books import Capture
from services.billing.budgets import Budget, BudgetStatus, Period
from services.billing.errors import EtagMismatchError, ReadOnlyResourceError, UnknownResourceError
from services.billing.pricing import Source
from services.billing.usage import NS_PER_DAY, Caller
from tests.contract.billing.stores import ALICE, BOB, DAY, NOON, OpenDatabase, Stores, hold, opened, used

MONTH_END = (NOON // NS_PER_DAY + 8) * NS_PER_DAY


def organization_budget(limit_nanos: int = 1000, **fields: object) -> Budget:
    return Budget("org", "acme", limit_nanos, Period.MONTH, **fields)  # type: ignore[arg-type]


async def test_a_budget_counts_what_was_spent_and_held_before_it_was_made(stores: Stores) -> None:
    before = used("b", 10, end_ns=NOON - 30 * DAY)
    await stores.ledger.post([Capture("", (used("a", 10),)), Capture("", (before,)), hold("h", 7)])
    status = await stores.budgets.put_budget(organization_budget())
    assert (status.spent_nanos, status.held_nanos, status.reset_ns) == (20, 14, MONTH_END)


async def test_late_usage_is_booked_on_the_period_that_it_ended_in(stores: Stores) -> None:
    await stores.budgets.put_budget(organization_budget())
    await stores.ledger.post([Capture("", (used("b", 10, end_ns=NOON - 30 * DAY),))])
    assert (await stores.budgets.budget("org")).spent_nanos == 0
    stores.clock.now_ns -= 30 * DAY
    assert (await stores.budgets.budget("org")).spent_nanos == 20


async def test_a_changed_budget_counts_anew_for_whom_it_binds_now(stores: Stores) -> None:
    await stores.budgets.put_budget(organization_budget())
    await stores.ledger.post([Capture("", (used("a", 10),)), Capture("", (used("b", 5, caller=BOB),))])
    await stores.ledger.post([hold("h", 3, BOB)])
    status = await stores.budgets.put_budget(organization_budget(user_id="bob"))
    assert (status.spent_nanos, status.held_nanos) == (10, 6)


async def test_the_etag_changes_with_every_change_and_only_then(stores: Stores) -> None:
    first = await stores.budgets.put_budget(organization_budget())
    same = await stores.budgets.put_budget(organization_budget())
    other = await stores.budgets.put_budget(organization_budget(2000))
    assert first.budget.etag == same.budget.etag != other.budget.etag


async def test_an_old_etag_changes_and_removes_nothing(stores: Stores) -> None:
    first = await stores.budgets.put_budget(organization_budget())
    current = await stores.budgets.put_budget(organization_budget(2000, etag=first.budget.etag))
    with pytest.raises(EtagMismatchError):
        await stores.budgets.put_budget(organization_budget(3000, etag=first.budget.etag))
    with pytest.raises(EtagMismatchError):
        await stores.budgets.delete_budget("org", first.budget.etag)
    assert (await stores.budgets.budget("org")) == current


async def test_a_removed_budget_is_gone_and_binds_nobody(stores: Stores) -> None:
    await stores.budgets.put_budget(organization_budget(0))
    await stores.budgets.delete_budget("org", "")
    with pytest.raises(UnknownResourceError):
        await stores.budgets.budget("org")
    with pytest.raises(UnknownResourceError):
        await stores.budgets.delete_budget("org", "")
    (result,) = await stores.ledger.post([hold("h", 100)])
    assert not isinstance(result, Exception)


async def test_the_file_declares_replaces_and_withdraws_its_budgets(stores: Stores) -> None:
    await stores.budgets.put_budget(Budget("by-api", "acme", 5, Period.DAY))
    await stores.budgets.declare_budgets([organization_budget(), Budget("gone", "acme", 1, Period.DAY)])
    await stores.ledger.post([Capture("", (used("a", 10),))])
    await stores.budgets.declare_budgets([organization_budget()])
    listed = await stores.budgets.budgets("", "", 10)
    assert [status.budget.budget_id for status in listed] == ["by-api", "org"]
    assert [status.budget.source for status in listed] == [Source.API, Source.FILE]
    assert listed[1].spent_nanos == 20


async def test_what_the_file_declares_can_not_be_changed_by_the_api(stores: Stores) -> None:
    await stores.budgets.declare_budgets([organization_budget()])
    with pytest.raises(ReadOnlyResourceError):
        await stores.budgets.put_budget(organization_budget(5))
    with pytest.raises(ReadOnlyResourceError):
        await stores.budgets.delete_budget("org", "")


async def test_budgets_are_listed_by_id_and_by_organisation(stores: Stores) -> None:
    for name, organization in (("c", "acme"), ("a", "acme"), ("b", "other")):
        await stores.budgets.put_budget(Budget(name, organization, 1, Period.TOTAL))

    async def listed(organization: str, after: str, limit: int) -> list[str]:
        found = await stores.budgets.budgets(organization, after, limit)
        return [status.budget.budget_id for status in found]

    assert await listed("", "", 2) == ["a", "b"]
    assert await listed("", "b", 2) == ["c"]
    assert await listed("acme", "", 5) == ["a", "c"]


async def test_of_a_payer_the_budgets_are_listed_that_bind_it(stores: Stores) -> None:
    for budget in (
        Budget("whole", "acme", 1, Period.TOTAL),
        Budget("alice", "acme", 1, Period.TOTAL, user_id="alice"),
        Budget("key-a", "acme", 1, Period.TOTAL, key_id="key-a", soft=True),
        Budget("alice-b", "acme", 1, Period.TOTAL, user_id="alice", key_id="key-b"),
        Budget("bob", "acme", 1, Period.TOTAL, user_id="bob"),
        Budget("other", "other", 1, Period.TOTAL),
    ):
        await stores.budgets.put_budget(budget)

    async def listed(organization: str, payer: Caller, after: str = "", limit: int = 9) -> list[str]:
        found = await stores.budgets.budgets(organization, after, limit, payer)
        return [status.budget.budget_id for status in found]

    assert await listed("", ALICE) == ["alice", "key-a", "whole"]
    assert await listed("acme", ALICE, "alice", 1) == ["key-a"]
    assert await listed("", BOB) == ["bob", "whole"]
    assert await listed("", Caller("acme")) == ["whole"]
    assert await listed("other", ALICE) == []


async def test_what_was_counted_survives_a_restart(open_database: OpenDatabase) -> None:
    async with opened(open_database) as stores:
        await stores.budgets.put_budget(organization_budget(alert_percents=(50, 80)))
        await stores.ledger.post([Capture("", (used("a", 10),)), hold("h", 4)])
        before = await stores.budgets.budget("org")
    async with opened(open_database) as stores:
        assert await stores.budgets.budget("org") == before
        assert before == BudgetStatus(before.budget, 20, 8, MONTH_END)
