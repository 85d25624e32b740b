"""An answer is ended from here when its provider ignores what it was asked for, and never for a token more."""

import pytest

from headgate.chat.v1 import finish_reason_pb2
from headgate.router.v1 import completion_pb2
from services.router.answers.leg import Leg
from services.router.answers.overrun import Bounds
from services.router.targets.catalog import Target
from services.router.targets.provider import Chunk
from tests.support.router_peers import ScriptedProvider, ended

LATER = 10**9


def leg(pieces: int, characters: int) -> Leg:
    begun = Leg("c.1", Target("a", "sim", "simulator", "sim-a", ScriptedProvider([])), 0, 30)
    begun.take(Chunk([], None, pieces, characters), 1)
    return begun


@pytest.mark.parametrize(
    ("pieces", "characters", "passed"),
    [
        (3, 12, False),
        (70, 280, False),
        (71, 280, True),
        (71, 71, False),  # a server that sends single characters
        (220, 220, True),
        (1, 64 * 1024, False),
        (1, 80 * 1024, True),
    ],
)
def test_three_tokens_were_asked_for(pieces: int, characters: int, passed: bool) -> None:
    assert Bounds(1, 3, LATER).are_passed(leg(pieces, characters), 2) is passed


def test_without_a_bound_any_number_may_come() -> None:
    assert not Bounds(1, None, LATER).are_passed(leg(10**6, 10**7), 2)


def test_time_ends_every_stream() -> None:
    assert Bounds(1, None, LATER).are_passed(leg(1, 1), LATER)


def test_an_answer_whose_choices_have_ended_is_not_cut_while_its_usage_is_awaited() -> None:
    whole = leg(1000, 4000)
    whole.take(ended(), 2)
    assert not Bounds(1, 3, 5).are_passed(whole, 6)
    assert Bounds(2, 3, 5).are_passed(whole, 6)


def test_what_is_cut_ends_every_choice_that_had_no_end() -> None:
    cut = leg(1000, 4000)
    cut.take(ended(), 2)
    (end,) = cut.cut(2)
    reason = finish_reason_pb2.FINISH_REASON_LENGTH
    assert end.choice_finished == completion_pb2.ChoiceFinished(choice_index=1, finish_reason=reason)
