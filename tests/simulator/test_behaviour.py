"""Knobs: one parser for model names, headers and the control endpoint."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator
from simulator.behaviour import (
    KNOBS,
    NORMAL,
    Behaviour,
    BehaviourError,
    Interruption,
    header_pairs,
    parse,
    split_model,
)


def test_a_model_name_carries_its_knobs_after_an_at_sign() -> None:
    model, pairs = split_model("sim-small@ttft=200ms,gap=5ms,hang")
    assert model == "sim-small"
    assert parse(pairs) == Behaviour(ttft_seconds=0.2, gap_seconds=0.005, hang=True)


def test_a_model_name_without_knobs_behaves_normally() -> None:
    assert split_model("sim-small") == ("sim-small", [])
    assert parse(split_model("sim-small@")[1]) is NORMAL


def test_headers_carry_knobs_in_any_letter_case_and_others_are_left_alone() -> None:
    headers = {"X-Simulator-Cut-After": "5", "x-simulator-tokens": "64", "accept": "*/*"}
    assert parse(header_pairs(headers)) == Behaviour(cut_after=5, tokens=64)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("200ms", 0.2), ("1.5s", 1.5), ("2", 2.0), ("5us", 5e-6), ("1m", 60.0), ("0", 0.0)],
)
def test_durations_carry_their_unit_and_are_seconds_without_one(written: str, seconds: float) -> None:
    assert parse([("ttft", written)]).ttft_seconds == pytest.approx(seconds)


def test_slow_is_a_late_first_token_and_wide_gaps() -> None:
    assert parse([("slow", "")]) == Behaviour(ttft_seconds=2.0, gap_seconds=0.2)
    assert parse([("slow", "false")]) == NORMAL


def test_the_last_value_of_a_knob_wins() -> None:
    assert parse([("tokens", "1"), ("tokens", "2")], onto=Behaviour(tokens=3, hang=True)) == Behaviour(
        tokens=2, hang=True
    )


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("speed", "3"),
        ("ttft", "-1s"),
        ("ttft", "soon"),
        ("tokens", "-1"),
        ("tokens", "1.5"),
        ("tokens", "1000001"),
        ("status", "200"),
        ("status", "600"),
        ("hang", "perhaps"),
        ("cut-after", ""),
    ],
)
def test_an_unknown_knob_or_a_value_it_does_not_take_is_refused_by_name(knob: str, value: str) -> None:
    with pytest.raises(BehaviourError, match=knob):
        parse([(knob, value)])


def test_the_earliest_interruption_wins() -> None:
    assert NORMAL.interruption() is None
    assert Behaviour(cut_after=7, malformed_after=3).interruption() == (Interruption.MALFORMED, 3)
    assert Behaviour(cut_after=3, malformed_after=3).interruption() == (Interruption.CUT, 3)
    assert Behaviour(hang_after=0).interruption() == (Interruption.HANG, 0)


@given(st.sampled_from(sorted(KNOBS)), st.text(max_size=12))
def test_any_text_is_either_understood_or_refused(knob: str, value: str) -> None:
    try:
        parsed = parse([(knob, value)])
    except BehaviourError:
        return
    assert parse([(knob, value)], onto=parsed) == parsed


def test_the_readme_lists_every_knob() -> None:
    readme = Path(simulator.__file__).with_name("README.md").read_text()
    assert [knob for knob in KNOBS if f"`{knob}`" not in readme] == []
