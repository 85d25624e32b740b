"""The breaker of a target: when it opens, who probes, and how long it rests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.targets.health import (
    DISABLED_REST_SECONDS,
    FAILURES_TO_OPEN,
    FIRST_REST_SECONDS,
    MAX_REST_SECONDS,
    State,
    TargetHealth,
)
from services.router.targets.provider import UNHEALTHY, FailureKind, ProviderError

DOWN = ProviderError(FailureKind.OVERLOADED, "HTTP 500")


def fail(health: TargetHealth, now: float, error: ProviderError = DOWN) -> None:
    health.begin(now)
    health.fail(error, now, "somebody")


def opened(now: float = 0.0) -> TargetHealth:
    health = TargetHealth()
    for _ in range(FAILURES_TO_OPEN):
        fail(health, now)
    return health


def test_failures_in_a_row_open_the_breaker() -> None:
    health = TargetHealth()
    for _ in range(FAILURES_TO_OPEN - 1):
        fail(health, 0.0)
    assert health.admits(0.0)
    fail(health, 0.0)
    assert (health.state, health.reason) == (State.OPEN, "HTTP 500")
    assert not health.admits(FIRST_REST_SECONDS - 0.1)


def test_a_success_between_failures_keeps_it_closed() -> None:
    health = TargetHealth()
    for _ in range(3 * FAILURES_TO_OPEN):
        for _ in range(FAILURES_TO_OPEN - 1):
            fail(health, 0.0)
        health.begin(0.0)
        health.succeed(0.0)
    assert health.state is State.HEALTHY


def test_after_its_rest_one_request_probes_and_no_other_is_admitted() -> None:
    health = opened()
    assert health.admits(FIRST_REST_SECONDS)
    health.begin(FIRST_REST_SECONDS)
    assert health.state is State.HALF_OPEN
    assert not health.admits(FIRST_REST_SECONDS)
    assert not health.admits(FIRST_REST_SECONDS + 1000)


def test_a_probe_that_succeeds_closes_it() -> None:
    health = opened()
    health.begin(FIRST_REST_SECONDS)
    health.succeed(FIRST_REST_SECONDS)
    assert (health.state, health.consecutive_failures, health.retry_at) == (State.HEALTHY, 0, None)


def test_each_probe_that_fails_doubles_the_rest_up_to_a_minute() -> None:
    health = opened()
    now, rests = FIRST_REST_SECONDS, []
    for _ in range(8):
        fail(health, now)
        assert health.retry_at is not None
        rests.append(health.retry_at - now)
        now = health.retry_at
    assert rests == [4, 8, 16, 32, 60, 60, 60, 60]
    assert max(rests) == MAX_REST_SECONDS


def test_many_failures_at_once_are_one_outage_with_one_rest() -> None:
    health = TargetHealth()
    for _ in range(64):
        health.begin(0.0)
    for _ in range(64):
        health.fail(DOWN, 0.5, "somebody")
    assert health.retry_at == 0.5 + FIRST_REST_SECONDS
    assert health.in_flight == 0


def test_a_probe_that_is_cancelled_leaves_the_next_request_to_probe() -> None:
    health = opened()
    health.begin(FIRST_REST_SECONDS)
    health.abandon(FIRST_REST_SECONDS + 1)
    assert health.admits(FIRST_REST_SECONDS + 1)


def test_a_request_at_fault_is_no_failure_of_the_target() -> None:
    health = TargetHealth()
    for kind in set(FailureKind) - UNHEALTHY - {FailureKind.RATE_LIMITED, FailureKind.CREDENTIAL}:
        for _ in range(FAILURES_TO_OPEN):
            fail(health, 0.0, ProviderError(kind, "no"))
    assert health.state is State.HEALTHY


@pytest.mark.parametrize(("asked", "rest"), [(7.5, 7.5), (None, 1.0)])
def test_a_provider_that_asks_to_wait_is_left_alone_so_long(asked: float | None, rest: float) -> None:
    health = TargetHealth()
    fail(health, 10.0, ProviderError(FailureKind.RATE_LIMITED, "slow down", retry_after_seconds=asked))
    assert health.state is State.COOLING_DOWN
    assert not health.admits(10.0 + rest - 0.01)
    assert health.admits(10.0 + rest)
    assert health.consecutive_failures == 0


def test_a_refused_credential_disables_the_target_for_long() -> None:
    health = TargetHealth()
    fail(health, 0.0, ProviderError(FailureKind.CREDENTIAL, "HTTP 401"))
    assert health.state is State.DISABLED
    assert not health.admits(DISABLED_REST_SECONDS - 0.01)
    assert health.admits(DISABLED_REST_SECONDS)


OUTCOMES = st.sampled_from(["succeed", "abandon", *FailureKind])


@given(st.lists(st.tuples(st.booleans(), OUTCOMES, st.floats(0, 70)), max_size=60))
def test_whatever_happens_in_flight_is_counted_and_only_one_probes(
    story: list[tuple[bool, str, float]],
) -> None:
    health, now, in_flight = TargetHealth(), 0.0, 0
    for starts, outcome, passes in story:
        now += passes
        if starts or not in_flight:
            if not health.admits(now):
                continue
            probing = health.state is not State.HEALTHY
            health.begin(now)
            in_flight += 1
            assert not probing or not health.admits(now)
            continue
        in_flight -= 1
        if outcome == "succeed":
            health.succeed(now)
        elif outcome == "abandon":
            health.abandon(now)
        else:
            health.fail(ProviderError(FailureKind(outcome), "x"), now, "somebody")
        assert health.in_flight == in_flight
        # No state is a dead end: it admits now, has a probe in flight, or will admit at a known time.
        assert health.admits(now) or health.state is State.HALF_OPEN or health.retry_at is not None


def unread(health: TargetHealth, caller: str, now: float = 0.0) -> None:
    health.begin(now)
    health.fail(ProviderError(FailureKind.MALFORMED, "x"), now, caller)


def test_answers_that_cant_be_read_of_one_caller_are_one_failure() -> None:
    health = TargetHealth()
    for _ in range(10 * FAILURES_TO_OPEN):
        unread(health, "a")
    assert health.state is State.HEALTHY
    assert health.consecutive_failures == 1


def test_answers_that_cant_be_read_of_many_callers_open_the_breaker() -> None:
    health = TargetHealth()
    for caller in range(FAILURES_TO_OPEN):
        unread(health, str(caller))
        unread(health, "0")
    assert health.state is State.OPEN


def test_a_probe_whose_answer_cant_be_read_leaves_the_next_request_to_probe() -> None:
    health = TargetHealth()
    unread(health, "a")
    for _ in range(FAILURES_TO_OPEN):
        fail(health, 0.0)
    assert health.state is State.OPEN
    unread(health, "a", FIRST_REST_SECONDS)
    assert health.admits(FIRST_REST_SECONDS)


def test_a_caller_whose_answer_was_read_begins_anew() -> None:
    health = TargetHealth()
    unread(health, "a")
    health.begin(0.0)
    health.succeed(0.0)
    unread(health, "a")
    assert health.consecutive_failures == 1
