"""Wrong keys make their address and key id wait, and nobody who is right waits for ever."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from services.router.accounts import throttle
from services.router.accounts.throttle import (
    HALF_LIFE_SECONDS,
    MOST_FAILURES,
    RETRY_SECONDS,
    Failures,
    Throttle,
)

GOOD = b"good"


def fail(wrong: Throttle, times: int, address: str = "10.0.0.7", key_id: str = "k", now: float = 0.0) -> None:
    for _ in range(times):
        wrong.failed(address, key_id, now)


def test_tens_of_failures_throttle_their_address_and_their_key_id_and_nobody_else() -> None:
    wrong = Throttle()
    fail(wrong, int(MOST_FAILURES) - 1)
    assert wrong.has_room("10.0.0.7", "k", 0, 0.0)
    fail(wrong, 1)
    assert not wrong.has_room("10.0.0.7", "other", 0, 0.0)
    assert not wrong.has_room("10.0.0.8", "k", 0, 0.0)
    assert wrong.has_room("10.0.0.8", "other", 0, 0.0)


def test_half_of_the_failures_are_forgotten_in_a_half_life() -> None:
    failures = Failures()
    for _ in range(8):
        failures.add("a", 100.0)
    assert failures.level("a", 100.0 + HALF_LIFE_SECONDS) == 4.0
    assert failures.level("a", 100.0 + 3 * HALF_LIFE_SECONDS) == 1.0


@given(st.lists(st.floats(0, 60), min_size=1, max_size=200))
def test_a_level_is_never_more_than_the_failures_nor_less_than_the_last(waits: list[float]) -> None:
    failures, now = Failures(), 0.0
    for number, wait in enumerate(waits, start=1):
        now += wait
        failures.add("a", now)
        assert 1.0 <= failures.level("a", now) <= number


@given(st.lists(st.floats(0, 2), min_size=1, max_size=400))
def test_a_throttled_source_is_asked_for_at_a_slow_rate(waits: list[float]) -> None:
    """Whatever comes: no more than the burst, and what is forgotten meanwhile, of keys that never came before."""
    wrong, now, asked = Throttle(), 0.0, 0
    for wait in waits:
        now += wait
        if wrong.has_room("a", "k", 0, now):
            wrong.failed("a", "k", now)
            asked += 1
    # While the level is L, L * ln 2 / half-life are forgotten in a second.
    assert asked <= MOST_FAILURES + 1 + now * (MOST_FAILURES + 1) * 0.6932 / HALF_LIFE_SECONDS


def test_a_key_that_was_put_off_gets_past_guesses_when_it_comes_again() -> None:
    wrong = Throttle()
    fail(wrong, int(MOST_FAILURES))
    assert not wrong.has_room("10.0.0.7", "k", wrong.patience(GOOD, 0.0), 0.0)
    wrong.put_off(GOOD, 0, 0.0)
    fail(wrong, 4, now=RETRY_SECONDS)
    assert wrong.has_room("10.0.0.7", "k", wrong.patience(GOOD, RETRY_SECONDS), RETRY_SECONDS)


def test_coming_too_early_gains_nothing_and_loses_nothing() -> None:
    wrong = Throttle()
    wrong.put_off(GOOD, wrong.patience(GOOD, 0.0), 0.0)
    for early in (0.1, 0.5, 0.9):
        assert wrong.patience(GOOD, early) == 0
        wrong.put_off(GOOD, 0, early)
    assert wrong.patience(GOOD, RETRY_SECONDS) == 1


def test_whoever_sends_wrong_keys_again_and_again_holds_a_good_one_back_for_seconds() -> None:
    """The worst that 3,000 calls a second from the same address do: each wrong key comes as often as it must."""
    wrong, fresh = Throttle(), count()
    waiting: list[bytes] = []
    for second in range(60):
        now = float(second)
        patience = wrong.patience(GOOD, now)
        calls, again = 3_000, []
        while calls:
            calls -= 1
            token = waiting.pop() if waiting else b"%d" % next(fresh)
            known = wrong.patience(token, now)
            if wrong.has_room("a", "k", known, now):
                wrong.failed("a", "k", now)
            else:
                wrong.put_off(token, known, now)
                again.append(token)
        waiting = again
        if wrong.has_room("a", "good", patience, now):
            assert second <= 35
            return
        wrong.put_off(GOOD, patience, now)
    raise AssertionError("it was never asked for")


def test_what_is_remembered_is_bounded() -> None:
    wrong = Throttle()
    for number in range(2 * throttle.MAX_PUT_OFF):
        wrong.failed(f"a{number}", f"k{number}", 0.0)
        wrong.put_off(b"%d" % number, 0, 0.0)
    assert len(wrong._put_off) == throttle.MAX_PUT_OFF
    assert len(wrong._of_address._sources) == len(wrong._of_key_id._sources) == throttle.MAX_SOURCES
