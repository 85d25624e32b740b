"""Bytes of answers are counted for the process and for each caller, and every one is given back."""

from hypothesis import given
from hypothesis import strategies as st

from services.router.holding import AnswerBytes

STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1000)))


@given(STEPS)
def test_what_is_held_is_the_sum_of_what_each_holder_says_last(steps: list[tuple[int, int]]) -> None:
    answers = AnswerBytes(1000)
    shares = [answers.share(f"caller {number % 2}") for number in range(6)]
    for number, size in steps:
        shares[number].hold(size)
        assert answers.held == sum(share.size for share in shares)
    for share in shares:
        share.hold(0)
    assert answers.held == 0
    assert not any(share.is_tight for share in shares)


def test_a_caller_with_more_than_a_quarter_is_held_back_and_the_others_are_not() -> None:
    answers = AnswerBytes(1000)
    greedy, other = answers.share("greedy"), answers.share("other")
    greedy.hold(500)
    assert [greedy.is_tight, other.is_tight] == [False, False]
    more = greedy.another()
    more.hold(1)
    assert [greedy.is_tight, more.is_tight, other.is_tight] == [True, True, False]


def test_when_all_is_held_everybody_is_held_back() -> None:
    answers = AnswerBytes(1000)
    for number in range(5):
        answers.share(f"caller {number}").hold(201)
    assert answers.share("another").is_tight
