"""Authorize, Capture and Void on both databases."""

import asyncio

import pytest

from services.billing.books import Authorized, Capture, Captured, HoldState, Void, Voided
from services.billing.budgets import Budget, Period
from services.billing.errors import (
    AlreadyResolvedError,
    BudgetExceededError,
    HoldMismatchError,
    UnpricedModelError,
    UsageConflictError,
)
from services.billing.store import HoldTally
from services.billing.sweep import release
from services.billing.usage import Cost, UsageFilter
from tests.contract.billing.stores import (
    ALICE,
    BOB,
    DAY,
    HOUR,
    NOON,
    OpenDatabase,
    Stores,
    hold,
    opened,
    used,
)


def budget(limit_nanos: int, period: Period = Period.TOTAL, **fields: object) -> Budget:
    return Budget("all", "acme", limit_nanos, period, **fields)  # type: ignore[arg-type]


async def balance(stores: Stores, budget_id: str = "all") -> tuple[int, int]:
    status = await stores.budgets.budget(budget_id)
    return status.spent_nanos, status.held_nanos


async def test_a_hold_is_for_the_dearest_candidate_and_lives_for_its_ttl(stores: Stores) -> None:
    (result,) = await stores.ledger.post([hold("h", 100)])
    assert result == Authorized(200, NOON + HOUR)


async def test_the_same_hold_again_gets_the_same_answer(stores: Stores) -> None:
    await stores.ledger.post([hold("h", 100)])
    stores.clock.now_ns += HOUR // 2
    assert await stores.ledger.post([hold("h", 100)]) == [Authorized(200, NOON + HOUR)]
    assert await stores.ledger.hold_tallies() == {HoldState.OPEN: HoldTally(1, 200)}


async def test_the_same_hold_with_other_content_is_refused(stores: Stores) -> None:
    await stores.ledger.post([hold("h", 100)])
    (result,) = await stores.ledger.post([hold("h", 101)])
    assert isinstance(result, HoldMismatchError)


@pytest.mark.parametrize("end", [Void("h"), Capture("h", (used("a", 1),))])
async def test_a_resolved_hold_can_not_be_taken_again(stores: Stores, end: Void | Capture) -> None:
    await stores.ledger.post([hold("h", 100)])
    await stores.ledger.post([end])
    (result,) = await stores.ledger.post([hold("h", 100)])
    assert isinstance(result, AlreadyResolvedError)


async def test_a_hold_that_comes_after_its_end_holds_nothing(stores: Stores) -> None:
    assert await stores.ledger.post([Void("h")]) == [Voided(voided=False)]
    (result,) = await stores.ledger.post([hold("h", 100)])
    assert isinstance(result, AlreadyResolvedError)
    assert await stores.ledger.hold_tallies() == {}


async def test_capture_books_what_was_used_and_gives_back_the_rest(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(1000))
    await stores.ledger.post([hold("h", 100)])
    assert await balance(stores) == (0, 200)
    (result,) = await stores.ledger.post([Capture("h", (used("a", 30), used("b", 12)))])
    assert result == Captured((Cost(60, "test:unit"), Cost(24, "test:unit")), hold_captured=True)
    assert await balance(stores) == (84, 0)


async def test_what_was_used_above_the_hold_is_booked_whole(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(250))
    await stores.ledger.post([hold("h", 100), Capture("h", (used("a", 500),))])
    assert await balance(stores) == (1000, 0)
    (refused,) = await stores.ledger.post([hold("next", 0)])
    assert isinstance(refused, BudgetExceededError)


async def test_capture_again_books_nothing_and_answers_the_same(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(1000))
    await stores.ledger.post([hold("h", 100)])
    first = await stores.ledger.post([Capture("h", (used("a", 30),))])
    assert await stores.ledger.post([Capture("h", (used("a", 30),))]) == first
    assert await balance(stores) == (60, 0)


async def test_usage_is_booked_without_its_hold_and_after_a_void(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(1000))
    (unknown,) = await stores.ledger.post([Capture("nobody", (used("a", 10),))])
    await stores.ledger.post([hold("h", 100), Void("h")])
    (late,) = await stores.ledger.post([Capture("h", (used("b", 10),))])
    assert isinstance(unknown, Captured)
    assert isinstance(late, Captured)
    assert not unknown.hold_captured
    assert not late.hold_captured
    assert await balance(stores) == (40, 0)


async def test_void_gives_back_once_and_says_so_again(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(1000))
    await stores.ledger.post([hold("h", 100)])
    assert await stores.ledger.post([Void("h"), Void("h")]) == [Voided(voided=True)] * 2
    assert await stores.ledger.post([Void("h")]) == [Voided(voided=True)]
    assert await balance(stores) == (0, 0)


async def test_a_captured_hold_is_not_voided(stores: Stores) -> None:
    await stores.ledger.post([hold("h", 100), Capture("h", (used("a", 1),))])
    assert await stores.ledger.post([Void("h")]) == [Voided(voided=False)]


async def test_an_expired_hold_is_orphaned_and_stays_held_until_it_is_resolved(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(1000))
    await stores.ledger.post([hold("h", 100), hold("later", 100, ttl_ns=3 * HOUR)])
    assert await stores.ledger.orphan_expired(NOON + HOUR) == 1
    tallies = await stores.ledger.hold_tallies()
    assert tallies == {HoldState.OPEN: HoldTally(1, 200), HoldState.ORPHANED: HoldTally(1, 200)}
    assert await balance(stores) == (0, 400)
    (result,) = await stores.ledger.post([Capture("h", (used("a", 10),))])
    assert isinstance(result, Captured)
    assert result.hold_captured
    assert await balance(stores) == (20, 200)


async def test_a_checkpoint_books_what_is_not_booked_and_changes_nothing(stores: Stores) -> None:
    await stores.ledger.post([hold("h", 100), hold("i", 100)])
    await stores.ledger.post([Capture("h", (used("a", 10),))])
    results = await stores.ledger.post(
        [
            Capture("h", (used("a", 4),), from_checkpoint=True),
            Capture("i", (used("b", 4),), from_checkpoint=True),
        ]
    )
    assert [isinstance(result, Captured) and result.hold_captured for result in results] == [True, True]
    entries = await stores.ledger.entries(UsageFilter(), None, 10)
    assert sorted((entry.record.attempt_id, entry.record.tokens.input) for entry in entries) == sorted(
        (each.attempt_id, each.tokens.input) for each in (used("a", 10), used("b", 4))
    )


async def test_unresolved_holds_are_listed_by_expiry_in_pages(stores: Stores) -> None:
    for number in range(5):
        await stores.ledger.post([hold(f"h{number}", 100, ttl_ns=(5 - number) * HOUR)])
    await stores.ledger.post([Void("h2")])
    await stores.ledger.orphan_expired(NOON + HOUR)
    first = await stores.ledger.unresolved_holds("", None, (-1, ""), 2)
    assert [(each.hold_id, each.state) for each in first] == [
        ("h4", HoldState.ORPHANED),
        ("h3", HoldState.OPEN),
    ]
    rest = await stores.ledger.unresolved_holds("acme", None, (first[-1].expire_ns, "h3"), 10)
    assert [each.hold_id for each in rest] == ["h1", "h0"]
    orphans = await stores.ledger.unresolved_holds("acme", HoldState.ORPHANED, (-1, ""), 10)
    assert [each.hold_id for each in orphans] == ["h4"]
    assert await stores.ledger.unresolved_holds("nobody", None, (-1, ""), 10) == []


async def test_orphans_are_released_after_their_grace_and_late_usage_is_booked_all_the_same(
    stores: Stores,
) -> None:
    await stores.budgets.put_budget(budget(1000))
    await stores.ledger.post([hold("h", 100), hold("later", 100, ttl_ns=3 * HOUR)])
    await stores.ledger.orphan_expired(NOON + HOUR)
    assert await release(stores.ledger, NOON + HOUR - 1) == 0
    assert await release(stores.ledger, NOON + HOUR) == 1
    assert await release(stores.ledger, NOON + HOUR) == 0
    assert await balance(stores) == (0, 200)
    (result,) = await stores.ledger.post([Capture("h", (used("a", 10),))])
    assert isinstance(result, Captured)
    assert not result.hold_captured
    assert await balance(stores) == (20, 200)


async def test_other_content_under_a_booked_attempt_id_is_refused_whole(stores: Stores) -> None:
    await stores.ledger.post([Capture("", (used("a", 10),))])
    await stores.ledger.post([hold("h", 100)])
    results = await stores.ledger.post(
        [
            Capture("", (used("n1", 1),)),
            Capture("h", (used("fresh", 1), used("a", 11))),
            Capture("", (used("n2", 1),)),
        ]
    )
    assert isinstance(results[1], UsageConflictError)
    assert isinstance(results[0], Captured)
    assert isinstance(results[2], Captured)
    entries = await stores.ledger.entries(UsageFilter(), None, 10)
    assert sorted(entry.record.attempt_id for entry in entries) == ["a", "n1", "n2"]
    assert await stores.ledger.hold_tallies() == {HoldState.OPEN: HoldTally(1, 200)}


async def test_two_records_of_one_call_can_not_share_an_id_with_other_content(stores: Stores) -> None:
    (conflict,) = await stores.ledger.post([Capture("", (used("a", 1), used("a", 2)))])
    (same,) = await stores.ledger.post([Capture("", (used("b", 1), used("b", 1)))])
    assert isinstance(conflict, UsageConflictError)
    assert same == Captured((Cost(2, "test:unit"), Cost(2, "test:unit")), hold_captured=False)
    assert len(await stores.ledger.entries(UsageFilter(), None, 10)) == 1


async def test_a_model_without_a_price_is_booked_at_zero_and_flagged(stores: Stores) -> None:
    record = used("a", 10, model="unheard-of")
    assert await stores.ledger.post([Capture("", (record,))]) == [
        Captured((Cost(0, "", unpriced=True),), hold_captured=False)
    ]


async def test_the_policy_can_refuse_models_without_a_price_but_not_their_usage(
    open_database: OpenDatabase,
) -> None:
    async with opened(open_database, "refuse") as stores:
        wanted = hold("h", 1)
        unpriced = type(wanted)("h", ALICE, (("house", "unit"), ("house", "unheard-of")), 0, 1, HOUR)
        refused, booked = await stores.ledger.post(
            [unpriced, Capture("", (used("a", 1, model="unheard-of"),))]
        )
        assert isinstance(refused, UnpricedModelError)
        assert isinstance(booked, Captured)


async def test_a_cache_hit_costs_nothing(stores: Stores) -> None:
    (result,) = await stores.ledger.post([Capture("", (used("a", 1000, cache_status=3),))])
    assert result == Captured((Cost(0),), hold_captured=False)


async def test_a_hold_that_does_not_fit_a_hard_budget_is_refused_and_names_it(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(400, Period.DAY))
    fits, refused = await stores.ledger.post([hold("h", 200), hold("i", 1)])
    assert isinstance(fits, Authorized)
    assert isinstance(refused, BudgetExceededError)
    assert [violation.subject for violation in refused.quota_violations] == ["budget:all"]
    assert refused.retry_after_seconds == 12 * 3600


async def test_a_total_budget_has_no_time_to_retry_at(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(1))
    (refused,) = await stores.ledger.post([hold("h", 1)])
    assert isinstance(refused, BudgetExceededError)
    assert refused.retry_after_seconds is None


async def test_a_soft_budget_counts_and_refuses_nothing(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(1, soft=True))
    (result,) = await stores.ledger.post([hold("h", 100)])
    assert isinstance(result, Authorized)
    assert await balance(stores) == (0, 200)


async def test_every_budget_that_binds_must_have_room(stores: Stores) -> None:
    await stores.budgets.put_budget(Budget("org", "acme", 1000, Period.TOTAL))
    await stores.budgets.put_budget(Budget("bob", "acme", 100, Period.TOTAL, user_id="bob"))
    await stores.budgets.put_budget(Budget("key", "acme", 50, Period.TOTAL, key_id="key-x"))
    alice, bob = await stores.ledger.post([hold("a", 100, ALICE), hold("b", 100, BOB)])
    assert isinstance(alice, Authorized)
    assert isinstance(bob, BudgetExceededError)
    assert [violation.subject for violation in bob.quota_violations] == ["budget:bob"]
    assert await balance(stores, "org") == (0, 200)


async def test_a_new_day_is_a_new_period_but_open_holds_still_count(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(300, Period.DAY))
    await stores.ledger.post([Capture("", (used("a", 100),)), hold("h", 50, ttl_ns=2 * DAY)])
    stores.clock.now_ns += DAY
    assert await balance(stores) == (0, 100)
    fits, refused = await stores.ledger.post([hold("i", 100), hold("j", 1)])
    assert isinstance(fits, Authorized)
    assert isinstance(refused, BudgetExceededError)


async def test_concurrent_holds_never_take_more_than_the_budget(stores: Stores) -> None:
    await stores.budgets.put_budget(budget(2 * 10 * 20))
    results = await asyncio.gather(*(stores.ledger.post([hold(f"h{n}", 10)]) for n in range(64)))
    granted = [result for (result,) in results if isinstance(result, Authorized)]
    assert len(granted) == 20
    assert await balance(stores) == (0, 400)
    assert len(stores.commits) < 10
