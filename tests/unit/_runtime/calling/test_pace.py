"""Batches wait longer the busier the process is."""

from hypothesis import given
from hypothesis import strategies as st

from services._runtime.calling.pace import MAX_SECONDS, MIN_SECONDS, Pace, pace_at


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_easy_process_waits_least_and_a_busy_one_most() -> None:
    assert pace_at(0.0) == pace_at(0.3) == MIN_SECONDS
    assert pace_at(0.7) == pace_at(3.0) == MAX_SECONDS


@given(st.floats(0, 4), st.floats(0, 4))
def test_more_use_never_means_a_shorter_wait(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert MIN_SECONDS <= pace_at(low) <= pace_at(high) <= MAX_SECONDS


def test_the_pace_follows_the_last_window_only() -> None:
    wall, cpu = Clock(), Clock()
    pace = Pace(wall, cpu)
    wall.now, cpu.now = 0.2, 0.2
    assert pace() == MAX_SECONDS
    wall.now = 0.25
    assert pace() == MAX_SECONDS
    wall.now = 0.5
    assert pace() == MIN_SECONDS
