"""What a process remembers of budgets is what the database has, whatever happened in between."""

import random
from dataclasses import replace

import pytest

from services.billing.books import Authorize, Capture, Operation, Void
from services.billing.budgets import Budget, Period
from services.billing.usage import NS_PER_DAY, Caller
from tests.contract.billing.stores import ALICE, BOB, DAY, NOON, Stores, hold, used

IDS = [str(number) for number in range(12)]
BUDGETS = [
    Budget("org", "acme", 600, Period.MONTH),
    Budget("alice", "acme", 300, Period.DAY, user_id="alice"),
    Budget("bob", "acme", 300, Period.TOTAL, user_id="bob"),
]


@pytest.mark.parametrize("seed", range(4))
async def test_balances_in_memory_never_leave_those_in_the_database(stores: Stores, seed: int) -> None:
    choose = random.Random(seed)  # noqa: S311 - repeatable
    for budget in BUDGETS:
        await stores.budgets.put_budget(budget)
    for _ in range(40):
        await choose.choice((post, post, post, post, change_a_budget, fail, pass_a_day))(stores, choose)
        for budget in BUDGETS:
            await require_equal(stores, budget.budget_id)


async def require_equal(stores: Stores, budget_id: str) -> None:
    balances, status = stores.definitions.balances, await stores.budgets.budget(budget_id)
    period = (budget_id, status.budget.period.start_day(stores.clock.now_ns // NS_PER_DAY))
    if period in balances.spent_nanos:
        assert balances.held_nanos[budget_id] == status.held_nanos
        assert balances.spent_nanos[period] == status.spent_nanos


async def post(stores: Stores, choose: random.Random) -> None:
    await stores.ledger.post([operation(choose, stores.clock.now_ns) for _ in range(choose.randint(1, 6))])


def operation(choose: random.Random, now_ns: int) -> Operation:
    name, caller = choose.choice(IDS), choose.choice((ALICE, BOB))
    ended = now_ns - choose.choice((0, 0, DAY, 31 * DAY))
    record = used(choose.choice(IDS), choose.randint(0, 30), caller=caller, end_ns=ended)
    return choose.choice((hold(name, choose.randint(0, 30), caller), Capture(name, (record,)), Void(name)))


async def change_a_budget(stores: Stores, choose: random.Random) -> None:
    limit_nanos, period = choose.randint(100, 900), choose.choice(list(Period))
    await stores.budgets.put_budget(replace(choose.choice(BUDGETS), limit_nanos=limit_nanos, period=period))


async def fail(stores: Stores, choose: random.Random) -> None:
    """A commit whose last row no database can keep."""
    never = Authorize("never", Caller("nobody"), (), 0, 0, ttl_ns=2**64)
    with pytest.raises(Exception, match=r"(?i)int"):
        await stores.ledger.post([operation(choose, stores.clock.now_ns), never])


async def pass_a_day(stores: Stores, _choose: random.Random) -> None:
    stores.clock.now_ns = max(stores.clock.now_ns, NOON) + DAY
