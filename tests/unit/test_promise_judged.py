"""The judgement of tests/promise: what is true passes, and each kind of untruth is found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from headgate.billing.v1 import budget_pb2, usage_pb2
from headgate.common.v1 import caller_pb2, outcome_pb2
from headgate.common.v1 import usage_pb2 as tokens
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import completion_pb2
from simulator.ledger import Record
from tests.promise.books import Asked, Books, Peeked
from tests.promise.drawing import draw_run
from tests.promise.judging import broken, cost_of
from tests.promise.plans import PricePlan, PriceTier, RequestPlan, RunPlan, TargetPlan

PRICE = PricePlan((PriceTier(0, 1_000_000, 2_000_000, None, None),), 5)
COST = 10 + 2 * 4 + 5
CALLER = caller_pb2.Caller(organization_id="r", key_id="k")
WINDOW = limit_pb2.Limit(
    limit_id="r/0",
    metric=limit_pb2.METRIC_TOTAL_TOKENS,
    sliding_window=limit_pb2.SlidingWindow(maximum=14),
)
WINDOW.sliding_window.window.FromSeconds(3600)
BUDGET = budget_pb2.Budget(budget_id="r/0", organization_id="r", limit_nanos=COST, spent_nanos=COST)
STATUS = ratelimit.LimitStatus(limit_id="r/0", limit=14, remaining=0)


def true_books() -> Books:
    """One answer of 10 and 4 tokens, which a limit and a budget have just room for."""
    request = completion_pb2.CompletionRequest(
        model="m", end_user_id="r.0", labels={"run": "r", "team": "red"}
    )
    asked = RequestPlan(request, 0, True, 0.0, None, None, ((),))
    target = TargetPlan("t", "counting", "sim-t", None, None, None, PRICE)
    plan = RunPlan(1, "r", ("",), {"t": target}, {"m": ["t"]}, (WINDOW,), (BUDGET,), (asked,))
    usage = tokens.TokenUsage(
        input_tokens=10, output_tokens=4, total_tokens=14, source=tokens.USAGE_SOURCE_PROVIDER
    )
    entry = usage_pb2.LedgerEntry()
    entry.record.MergeFrom(
        usage_pb2.UsageRecord(
            attempt_id="c.1", caller=CALLER, model="sim-t", usage=usage, outcome=outcome_pb2.OUTCOME_COMPLETE
        )
    )
    entry.record.end_user_id = "r.0"
    entry.cost.amount_nanos = COST
    told = completion_pb2.Finished(usage=usage, cost=entry.cost)
    served = Record(
        1, "sim-1", "c.1", "openai.chat", 0.0, 1.0, "sim-t", streamed=True, input_tokens=10, output_tokens=4
    )
    served.outcome, served.written_tokens = "complete", 4
    return Books(
        plan=plan,
        callers=[CALLER],
        asked=[Asked(asked, 0.0, 0.1, text={0: "one two three four"}, finished=told)],
        served=[served],
        entries=[entry],
        budgets=[BUDGET],
        peeked=[Peeked(0, "m", "red", STATUS)],
        holds=0,
    )


def with_entry(change: Callable[[usage_pb2.LedgerEntry], object]) -> Books:
    books = true_books()
    change(books.entries[0])
    return books


def with_budget(**fields: int) -> Books:
    budget = budget_pb2.Budget()
    budget.CopyFrom(BUDGET)
    for name, value in fields.items():
        setattr(budget, name, value)
    return replace(true_books(), budgets=[budget])


def with_limit(maximum: int) -> Books:
    limit = limit_pb2.Limit()
    limit.CopyFrom(WINDOW)
    limit.sliding_window.maximum = maximum
    books = true_books()
    return replace(books, plan=replace(books.plan, limits=(limit,)))


def with_asked(**fields: object) -> Books:
    books = true_books()
    return replace(books, asked=[replace(books.asked[0], **fields)])  # type: ignore[arg-type]


def flagged(entry: usage_pb2.LedgerEntry) -> None:
    entry.record.usage.source = tokens.USAGE_SOURCE_ESTIMATED


def another_count(entry: usage_pb2.LedgerEntry) -> None:
    entry.record.usage.output_tokens = 5


def another_cost(entry: usage_pb2.LedgerEntry) -> None:
    entry.cost.amount_nanos = COST + 1


def from_checkpoint(entry: usage_pb2.LedgerEntry) -> None:
    entry.record.labels["headgate/from-checkpoint"] = "true"


def test_what_is_true_passes() -> None:
    assert broken(true_books()) == []


UNTRUE: dict[str, Books] = {
    "was served and not booked": replace(true_books(), entries=[]),
    "was booked 2 times": replace(true_books(), entries=list(true_books().entries) * 2),
    "of nothing that was served": replace(true_books(), served=[]),
    "other counts than the provider's": with_entry(another_count),
    "flagged as an estimate": with_entry(flagged),
    "no router was killed": with_entry(from_checkpoint),
    "by PricePlan": with_entry(another_cost),
    "holds are left": replace(true_books(), holds=1),
    "held": with_budget(held_nanos=1),
    "spent of": with_budget(spent_nanos=1),
    f"of {COST - 1} has {COST} spent": with_budget(limit_nanos=COST - 1),
    "let 14 pass": with_limit(13),
    "where 14 was booked": replace(
        true_books(),
        peeked=[Peeked(0, "m", "red", ratelimit.LimitStatus(limit_id="r/0", limit=14, remaining=1))],
    ),
    "was sent 5 tokens": with_asked(text={0: "one two three four five"}),
    "was told": with_asked(finished=completion_pb2.Finished()),
}


@pytest.mark.parametrize("what", UNTRUE)
def test_what_is_not_true_is_found(what: str) -> None:
    assert any(what in each for each in broken(UNTRUE[what]))


def test_a_refusal_by_what_does_not_bind_is_found() -> None:
    books = with_asked(reason="BUDGET_EXCEEDED", finished=None)
    soft = replace(books, budgets=[budget_pb2.Budget(soft=True, spent_nanos=COST)])
    assert any("none binds it" in each for each in broken(soft))
    assert not any("none binds it" in each for each in broken(books))


@pytest.mark.parametrize(("rate", "cost"), [(500_000, 0), (1_500_000, 2), (2_500_000, 2), (2_500_001, 3)])
def test_a_cost_is_rounded_once_half_to_even(rate: int, cost: int) -> None:
    price = PricePlan((PriceTier(0, rate, 0, None, None),), 0)
    assert cost_of(price, tokens.TokenUsage(input_tokens=1)) == cost


def test_a_seed_repeats_its_run() -> None:
    assert draw_run(7) == draw_run(7)
    assert draw_run(7) != draw_run(8)
