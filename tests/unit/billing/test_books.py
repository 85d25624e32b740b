"""Any order and repetition of Authorize, Capture and Void: the same ledger, and never more than a hard budget."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.billing.books import Authorize, Authorized, Capture, HoldState, Operation, Void
from services.billing.budgets import Budget, Period
from services.billing.pricing import TokenCounts
from services.billing.usage import Caller, UsageRecord
from tests.unit.billing.shelf import NOON, Shelf

CALLERS = (Caller("acme", "alice", "k1"), Caller("acme", "bob", "k2"), Caller("acme"))
BUDGETS = (
    Budget("all", "acme", 120, Period.TOTAL),
    Budget("alice", "acme", 60, Period.DAY, user_id="alice"),
    Budget("key", "acme", 40, Period.MONTH, key_id="k2"),
    Budget("watched", "acme", 10, Period.DAY, soft=True),
)


def authorize(number: int) -> Authorize:
    caller = CALLERS[number % 3]
    return Authorize(f"h{number}", caller, (("house", "unit"),), 0, 5 + number, 10**9)


def capture(number: int, attempts: int) -> Capture:
    """At most what was held: two attempts of half the tokens."""
    records = (record(number, attempt) for attempt in range(attempts))
    return Capture(f"h{number}", tuple(records))


def record(number: int, attempt: int) -> UsageRecord:
    return UsageRecord(
        attempt_id=f"a{number}.{attempt}",
        completion_id=f"c{number}",
        caller=CALLERS[number % 3],
        provider="house",
        model="unit",
        tokens=TokenCounts(output=(5 + number) // 2),
        start_ns=NOON,
        end_ns=NOON,
        outcome=1,
    )


@st.composite
def stories(draw: st.DrawFn) -> list[Operation]:
    """What may happen to a number of requests, some of it twice, in any order."""
    operations: list[Operation] = []
    for number in range(draw(st.integers(1, 8))):
        operations.append(authorize(number))
        operations += draw(
            st.sampled_from([[], [Void(f"h{number}")], [capture(number, 1)], [capture(number, 2)]])
        )
    repeated = draw(st.lists(st.sampled_from(operations), max_size=8))
    return draw(st.permutations([*operations, *repeated]))


def batches(operations: Sequence[Operation], sizes: Sequence[int]) -> list[Sequence[Operation]]:
    cut, start = [], 0
    for size in sizes:
        cut.append(operations[start : start + size])
        start += size
    return [*(each for each in cut if each), operations[start:]]


def is_legal(shelf: Shelf, name: str) -> bool:
    budget = next(each for each in BUDGETS if each.budget_id == name)
    spent = sum(nanos for (each, _), nanos in shelf.spent.items() if each == name)
    return spent + shelf.held[name] <= budget.limit_nanos


@given(stories(), st.lists(st.integers(1, 5), max_size=20))
def test_any_order_and_any_batching_books_the_same_entries(story: list[Operation], sizes: list[int]) -> None:
    shelf = Shelf(BUDGETS)
    for batch in batches(story, sizes):
        shelf.post(batch)
    captured = {each.attempt_id for call in story if isinstance(call, Capture) for each in call.records}
    assert shelf.entries.keys() == captured
    for name in shelf.held:
        bound = [
            entry.cost.nanos
            for entry in shelf.entries.values()
            if any(budget.budget_id == name for budget in shelf.budgets.binding(entry.record.caller))
        ]
        assert sum(nanos for (each, _), nanos in shelf.spent.items() if each == name) == sum(bound)


@given(stories(), st.lists(st.integers(1, 5), max_size=20))
def test_what_is_held_is_the_sum_of_the_unresolved_holds(story: list[Operation], sizes: list[int]) -> None:
    shelf = Shelf(BUDGETS)
    for batch in batches(story, sizes):
        shelf.post(batch)
        for name, held in shelf.held.items():
            assert held == sum(
                hold.amount_nanos
                for hold in shelf.holds.values()
                if hold.state.is_held
                and any(budget.budget_id == name for budget in shelf.budgets.binding(hold.caller))
            )


@given(stories())
def test_once_every_hold_was_ended_nothing_is_held(story: list[Operation]) -> None:
    shelf = Shelf(BUDGETS)
    shelf.post(story)
    shelf.post([Void(f"h{number}") for number in range(8)])
    assert set(shelf.held.values()) == {0}
    assert not any(hold.state is HoldState.OPEN for hold in shelf.holds.values())


@given(stories())
def test_a_granted_hold_never_takes_spent_and_held_above_a_hard_budget(story: list[Operation]) -> None:
    shelf = Shelf(BUDGETS)
    for operation in story:
        known = set(shelf.holds)
        (result,) = shelf.post([operation])
        if (
            isinstance(operation, Authorize)
            and isinstance(result, Authorized)
            and operation.hold_id not in known
        ):
            binding = shelf.budgets.binding(operation.caller)
            assert all(is_legal(shelf, budget.budget_id) for budget in binding if not budget.soft)


@given(st.permutations(range(8)))
def test_usage_within_the_holds_never_exceeds_a_hard_budget(order: list[int]) -> None:
    shelf = Shelf(BUDGETS)
    for number in order:
        (result,) = shelf.post([authorize(number)])
        if isinstance(result, Authorized):
            shelf.post([capture(number, 2)])
        assert all(is_legal(shelf, budget.budget_id) for budget in BUDGETS if not budget.soft)
