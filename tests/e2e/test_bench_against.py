"""Two Headgates in one run, of which one is started from a checkout with a virtual environment of its own."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.against import compare_with
from bench.contenders.checkout import checkout
from bench.contenders.headgate import Shape, headgate
from bench.lab import Lab
from bench.report import Report
from bench.scenarios import BY_NAME
from cli.suite.signals import StopSignals

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The other checkout is this one: its environment is the one that runs the tests."""
    folder = tmp_path_factory.mktemp("bench")
    other = tmp_path_factory.mktemp("checkout")
    (other / ".venv").symlink_to(sys.prefix)
    with (
        StopSignals() as signals,
        Lab.open([headgate(signals, Shape(organizations=2)), checkout(other)], folder) as opened,
    ):
        yield opened


def _compared(lab: Lab, scenario: str) -> Report:
    return compare_with(lab, BY_NAME[scenario], 2, 0.2, lambda _what: None)


def test_both_answer_rightly_and_their_cpu_is_compared_within_each_round(lab: Lab) -> None:
    report = _compared(lab, "unary-miss")
    here, there = report.rows
    assert (here.contender, there.contender) == ("headgate", "against")
    for row in report.rows:
        assert not [each.first_error for each in row.rounds if each.errors]
        assert all(set(each.cpu) == {"router", "cache", "ratelimit", "billing"} for each in row.rounds)
    assert report.notes["lowest"] <= report.notes["here / there"] <= report.notes["highest"]
    # The same code on the same interpreter: far from a difference that would mean something.
    assert 0.2 < report.notes["here / there"] < 5


def test_each_is_a_gateway_of_its_own_with_books_that_balance(lab: Lab) -> None:
    ours, theirs = (lab.members[name].running for name in ("headgate", "against"))
    assert not set(ours.services.values()) & set(theirs.services.values())
    assert os.getpid() not in theirs.services.values()
    _compared(lab, "stream")
    assert [verdict for verdict in lab.verdicts() if not verdict.balances] == []


def test_a_scenario_that_is_kept_to_some_contenders_is_compared_all_the_same(lab: Lab) -> None:
    assert BY_NAME["paced-1000"].contenders
    assert len(compare_with(lab, BY_NAME["paced-1000"], 0, 0.2, lambda _what: None).rows) == 2


def test_a_checkout_without_an_environment_has_a_row_that_says_what_to_do(tmp_path: Path) -> None:
    with Lab.open([checkout(tmp_path)], tmp_path / "run") as lab:
        assert "run `make install` there" in lab.absent["against"]
