"""The watchdog, on a clock that the test turns."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from services._runtime.process.watchdog import Watchdog

if TYPE_CHECKING:
    import asyncio


class Timer:
    # No `when`: uvloop's handle of a time that has passed has none.
    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due, self.call, self.cancelled = due, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The part of an event loop that a watchdog uses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(due, call))
        return self.timers[-1]

    def turn(self, to: float) -> None:
        while due := [t for t in self.timers if not t.cancelled and t.due <= to]:
            timer = min(due, key=lambda each: each.due)
            self.timers.remove(timer)
            self.now = timer.due
            timer.call()
        self.now = to


def watched() -> tuple[Clock, Watchdog, list[float]]:
    clock = Clock()
    barks: list[float] = []
    dog = Watchdog(cast("asyncio.AbstractEventLoop", clock), lambda: barks.append(clock.now))
    return clock, dog, barks


def test_it_barks_once_at_the_deadline() -> None:
    clock, dog, barks = watched()
    dog.watch(5)
    clock.turn(4.9)
    assert not barks
    clock.turn(100)
    assert barks == [5]
    assert dog.barked


def test_a_wait_that_ended_in_time_is_no_reason_to_bark() -> None:
    clock, dog, barks = watched()
    dog.watch(5)
    dog.rest()
    clock.turn(100)
    assert not barks


def test_deadlines_that_move_later_cost_one_timer() -> None:
    clock, dog, barks = watched()
    for step in range(1000):
        clock.turn(step / 1000)
        dog.watch(clock.now + 5)
        dog.rest()
    assert len(clock.timers) == 1
    dog.watch(clock.now + 5)
    clock.turn(100)
    assert barks == [5.999]


def test_a_deadline_may_move_earlier() -> None:
    clock, dog, barks = watched()
    dog.watch(60)
    dog.watch(2)
    clock.turn(100)
    assert barks == [2]


def test_a_rest_before_the_timer_and_a_wait_after_it_are_watched() -> None:
    clock, dog, barks = watched()
    dog.watch(1)
    dog.rest()
    clock.turn(3)
    dog.watch(4)
    clock.turn(10)
    assert barks == [4]


def test_dismissed_it_leaves_no_timer() -> None:
    clock, dog, barks = watched()
    dog.watch(1)
    dog.dismiss()
    clock.turn(10)
    assert not barks
    assert all(timer.cancelled for timer in clock.timers)
