"""The token bucket: exact, and never more than its burst and its rate."""

from fractions import Fraction
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ratelimit.bucket import Kind, Shape
from services.ratelimit.token_bucket import MAX_FILL, MAX_LOWS, Fill

rates = st.tuples(st.integers(1, 50), st.integers(1, 50))
capacities = st.integers(1, 60)
schedules = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 40)), min_size=1, max_size=40)


def shape(amount: int, interval_us: int) -> Shape:
    return Shape(Kind.TOKEN_BUCKET, amount, interval_us)


def excess(taken: list[tuple[int, int]], rate: Fraction, capacity: int) -> Fraction:
    """By how much the worst interval is above capacity + rate x time; at most 0 when none is."""
    worst = Fraction(-1)
    for first, (start, _) in enumerate(taken):
        for last in range(first, len(taken)):
            amount = sum(each for _, each in taken[first : last + 1])
            worst = max(worst, amount - capacity - rate * (taken[last][0] - start))
    return worst


@given(rates, capacities, schedules)
def test_no_interval_admits_more_than_burst_and_rate(
    rate: tuple[int, int], capacity: int, schedule: list[tuple[int, int]]
) -> None:
    bucket = Fill(shape(*rate), 0)
    taken = []
    for now_us, (_, amount) in zip(accumulate(pause for pause, _ in schedule), schedule, strict=True):
        bucket.advance(now_us)
        if bucket.fits(amount, capacity):
            bucket.take(amount)
            taken.append((now_us, amount))
    assert excess(taken, Fraction(*rate), capacity) <= 0


@given(
    rates,
    capacities,
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(0, 40), st.integers(0, 20)),
        min_size=1,
        max_size=40,
    ),
)
def test_no_interval_admits_more_when_estimates_are_settled_late(
    rate: tuple[int, int], capacity: int, schedule: list[tuple[int, int, int, int]]
) -> None:
    bucket = Fill(shape(*rate), 0)
    used: list[tuple[int, int]] = []
    waiting: list[tuple[int, int, int, int]] = []
    now_us = 0
    for turn, (pause, estimate, actual, turns_until_settled) in enumerate(schedule):
        now_us += pause
        bucket.advance(now_us)
        for due, place, stamp, unused in [each for each in waiting if each[0] <= turn]:
            bucket.give_back(unused, stamp)
            used[place] = (used[place][0], used[place][1] - unused)
            waiting.remove((due, place, stamp, unused))
        if bucket.fits(estimate, capacity):
            stamp = bucket.take(estimate)
            unused = max(0, estimate - actual)
            waiting.append((turn + turns_until_settled, len(used), stamp, unused))
            used.append((now_us, estimate))
    assert excess(used, Fraction(*rate), capacity) <= 0


@given(
    rate=rates,
    before=st.integers(0, 40),
    estimate=st.integers(0, 40),
    actual=st.integers(0, 40),
    meanwhile=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=MAX_LOWS - 1),
    until_settled=st.integers(0, 60),
)
def test_settling_an_estimate_equals_having_reserved_what_was_used(
    *,
    rate: tuple[int, int],
    before: int,
    estimate: int,
    actual: int,
    meanwhile: list[tuple[int, int]],
    until_settled: int,
) -> None:
    actual = min(actual, estimate)
    estimated, exact = Fill(shape(*rate), 0), Fill(shape(*rate), 0)
    for bucket in (estimated, exact):
        bucket.take(before)
    stamp = estimated.take(estimate)
    exact.take(actual)
    now_us = 0
    for pause, amount in meanwhile:
        now_us += pause
        for bucket in (estimated, exact):
            bucket.advance(now_us)
            bucket.take(amount)
    for bucket in (estimated, exact):
        bucket.advance(now_us + until_settled)
    estimated.give_back(estimate - actual, stamp)
    assert estimated.scaled == exact.scaled


@given(
    rate=rates,
    reservations=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=MAX_LOWS
    ),
    order=st.randoms(use_true_random=False),
)
def test_reservations_that_are_settled_in_any_order_equal_what_was_used(
    rate: tuple[int, int], reservations: list[tuple[int, int, int]], order: Random
) -> None:
    estimated, exact = Fill(shape(*rate), 0), Fill(shape(*rate), 0)
    unused: list[tuple[int, int]] = []
    now_us = 0
    for pause, estimate, actual in reservations:
        now_us += pause
        for bucket in (estimated, exact):
            bucket.advance(now_us)
        unused.append((max(0, estimate - actual), estimated.take(estimate)))
        exact.take(min(estimate, actual))
    order.shuffle(unused)
    for amount, stamp in unused:
        estimated.give_back(amount, stamp)
    assert estimated.scaled == exact.scaled


@given(rates, st.integers(0, 100), st.integers(0, 60), capacities)
def test_the_time_until_it_fits_is_exact(
    rate: tuple[int, int], taken: int, amount: int, capacity: int
) -> None:
    bucket = Fill(shape(*rate), 0)
    bucket.take(taken)
    wait_us = bucket.fits_after_us(amount, capacity)
    if wait_us is None:
        assert amount > capacity
        return
    if wait_us > 0:
        bucket.advance(wait_us - 1)
        assert not bucket.fits(amount, capacity)
    bucket.advance(wait_us)
    assert bucket.fits(amount, capacity)


@given(rates, st.integers(0, 100))
def test_it_is_free_again_exactly_at_its_reset(rate: tuple[int, int], taken: int) -> None:
    bucket = Fill(shape(*rate), 0)
    bucket.take(taken)
    reset_us = bucket.reset_after_us()
    if reset_us > 0:
        bucket.advance(reset_us - 1)
        assert bucket.units > 0
    bucket.advance(reset_us)
    assert bucket.units == 0


def test_time_that_runs_backwards_regains_nothing() -> None:
    bucket = Fill(shape(1, 1), 100)
    bucket.take(10)
    bucket.advance(50)
    assert bucket.units == 10
    bucket.advance(105)
    assert bucket.units == 5


def test_many_open_reservations_keep_few_lows_and_never_refund_too_much() -> None:
    bucket = Fill(shape(1, 1000), 0)
    stamps = [bucket.take(5) for _ in range(30)]
    assert len(bucket.lows) == MAX_LOWS
    for stamp in reversed(stamps):
        bucket.give_back(5, stamp)
    assert 0 <= bucket.units < 150


def test_a_fill_has_a_ceiling() -> None:
    bucket = Fill(shape(1, 1), 0)
    for _ in range(10):
        bucket.take(10**15)
    assert bucket.units == MAX_FILL


@pytest.mark.parametrize(("amount", "interval_us"), [(1, 1000), (3, 7), (10**15, 366 * 86_400_000_000)])
def test_a_changed_rate_keeps_what_was_taken(amount: int, interval_us: int) -> None:
    bucket = Fill(shape(1, 1_000_000), 0)
    bucket.take(1000)
    bucket.advance(500_000)
    bucket.reshape(shape(amount, interval_us))
    assert bucket.units == 1000
