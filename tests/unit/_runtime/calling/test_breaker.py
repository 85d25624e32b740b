"""The breaker of a peer, with the time as an argument."""

from hypothesis import given
from hypothesis import strategies as st

from services._runtime.calling.breaker import FIRST_REST_SECONDS, MAX_REST_SECONDS, Breaker, State


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    assert breaker.failed(now, is_probe=False)
    return breaker


def test_the_first_call_without_an_answer_opens_it() -> None:
    breaker = Breaker()
    assert breaker.is_closed
    assert breaker.failed(0.0, is_probe=False)
    assert breaker.state is State.OPEN


def test_nothing_probes_a_closed_breaker() -> None:
    assert not Breaker().begin_probe(100.0)


def test_after_a_rest_there_is_one_probe_at_a_time() -> None:
    breaker = opened(now=5.0)
    assert not breaker.begin_probe(5.0 + 0.9 * FIRST_REST_SECONDS)
    assert breaker.begin_probe(5.0 + FIRST_REST_SECONDS)
    assert breaker.state is State.HALF_OPEN
    assert not breaker.begin_probe(1000.0)


def test_rests_grow_with_each_failed_probe_up_to_a_most_and_start_anew_after_an_answer() -> None:
    breaker, now = opened(), 0.0
    for rest in (FIRST_REST_SECONDS, 0.2, 0.4, 0.8, MAX_REST_SECONDS, MAX_REST_SECONDS):
        assert not breaker.begin_probe(now + 0.99 * rest)
        now += 1.01 * rest
        assert breaker.begin_probe(now)
        breaker.failed(now, is_probe=True)
    assert breaker.answered()
    breaker.failed(now, is_probe=False)
    assert breaker.begin_probe(now + FIRST_REST_SECONDS)


def test_what_was_asked_before_it_opened_does_not_lengthen_the_rest() -> None:
    breaker = opened(now=0.0)
    for late in (0.02, 0.05, 0.09):
        assert not breaker.failed(late, is_probe=False)
    assert breaker.begin_probe(FIRST_REST_SECONDS)


def test_any_answer_closes_it_and_says_so_once() -> None:
    breaker = opened()
    assert breaker.answered()
    assert breaker.is_closed
    assert not breaker.answered()


def test_after_a_probe_without_a_verdict_the_next_may_follow_at_once() -> None:
    breaker = opened()
    assert breaker.begin_probe(1.0)
    breaker.abandoned(1.5)
    assert breaker.begin_probe(1.5)


@given(
    st.lists(st.tuples(st.sampled_from(["ask", "answer", "fail", "abandon"]), st.floats(0, 2)), max_size=80)
)
def test_an_open_breaker_lets_through_at_most_one_question_in_any_rest(
    steps: list[tuple[str, float]],
) -> None:
    breaker, now, probing, last_failed = Breaker(), 0.0, False, -1.0
    for what, pause in steps:
        now += pause
        if what == "ask" and not breaker.is_closed and breaker.begin_probe(now):
            assert not probing
            assert last_failed < 0 or now - last_failed > FIRST_REST_SECONDS - 1e-9
            probing = True
        elif what == "answer":
            breaker.answered()
            probing = False
        elif what == "fail":
            if breaker.is_closed or probing:
                last_failed = now
            breaker.failed(now, is_probe=probing)
            probing = False
        elif what == "abandon" and probing:
            breaker.abandoned(now)
            probing, last_failed = False, -1.0
        assert breaker.is_closed or probing == (breaker.state is State.HALF_OPEN)
