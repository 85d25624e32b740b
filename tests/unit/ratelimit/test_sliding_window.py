"""The sliding window: no window of its length ever holds more than the maximum."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from services.ratelimit.bucket import Kind, Shape
from services.ratelimit.limit import SLOTS_PER_WINDOW, SlidingWindow
from services.ratelimit.sliding_window import Slots

windows = st.tuples(st.integers(1, 40), st.integers(1, 100)).map(
    lambda pair: Shape(Kind.SLIDING_WINDOW, pair[1], pair[0])
)
schedules = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20), st.integers(0, 20), st.integers(0, 10)),
    min_size=1,
    max_size=60,
)


def fullest(taken: list[tuple[int, int]], window_us: int) -> int:
    """The most in any window, both ends included; one that begins with a take is as full as any."""
    return max(
        (
            sum(amount for time_us, amount in taken if start <= time_us <= start + window_us)
            for start, _ in taken
        ),
        default=0,
    )


@given(windows, st.integers(1, 50), schedules)
def test_no_window_holds_more_than_the_maximum(
    shape: Shape, maximum: int, schedule: list[tuple[int, int, int, int]]
) -> None:
    window = Slots(shape, 0)
    used: list[tuple[int, int]] = []
    waiting: list[tuple[int, int, int, int]] = []
    times = accumulate(pause for pause, *_ in schedule)
    for turn, (now_us, (_, estimate, actual, delay)) in enumerate(zip(times, schedule, strict=True)):
        window.advance(now_us)
        for each in [each for each in waiting if each[0] <= turn]:
            _, place, slot, unused = each
            window.give_back(unused, slot)
            used[place] = (used[place][0], used[place][1] - unused)
            waiting.remove(each)
        if window.fits(estimate, maximum):
            waiting.append((turn + delay, len(used), window.take(estimate), max(0, estimate - actual)))
            used.append((now_us, estimate))
        assert fullest(used, shape.amount) <= maximum
        assert window.total == sum(window.slots.values())


@given(windows, st.integers(0, 10**6), st.integers(1, 20))
def test_what_was_taken_is_free_again_within_a_slot_of_leaving(
    shape: Shape, start_us: int, amount: int
) -> None:
    window = Slots(shape, start_us)
    window.take(amount)
    window.advance(start_us + shape.amount)
    assert window.total == amount
    window.advance(start_us + shape.amount + shape.interval_us)
    assert window.total == 0


@given(windows, st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), min_size=1), st.integers(0, 30))
def test_the_time_until_it_fits_is_exact(shape: Shape, takes: list[tuple[int, int]], amount: int) -> None:
    window, now_us = Slots(shape, 0), 0
    for pause, taken in takes:
        now_us += pause
        window.advance(now_us)
        window.take(taken)
    wait_us = window.fits_after_us(amount, 30)
    assert wait_us is not None
    if wait_us > 0:
        window.advance(now_us + wait_us - 1)
        assert not window.fits(amount, 30)
    window.advance(now_us + wait_us)
    assert window.fits(amount, 30)


@given(windows, st.integers(0, 10), st.integers(0, 10), st.integers(0, 300), st.integers(0, 9))
def test_settling_an_estimate_equals_having_reserved_what_was_used(
    shape: Shape, estimate: int, actual: int, delay: int, other: int
) -> None:
    actual = min(estimate, actual)
    estimated, exact = Slots(shape, 0), Slots(shape, 0)
    slot = estimated.take(estimate)
    exact.take(actual)
    for window in (estimated, exact):
        window.advance(delay)
        window.take(other)
    estimated.give_back(estimate - actual, slot)
    assert (estimated.total, estimated.slots) == (exact.total, exact.slots)


@given(st.integers(1_000_000, 366 * 86_400_000_000))
def test_a_windows_slots_cover_it(window_us: int) -> None:
    slot_us = SlidingWindow(1, window_us).slot_us
    assert (slot_us - 1) * SLOTS_PER_WINDOW < window_us <= slot_us * SLOTS_PER_WINDOW
