"""What instructions are counted of: a bare server that takes calls in both ways; and how callgrind's files are read."""

import sys
from pathlib import Path

import pytest

from bench.callgrind import total, under_callgrind
from bench.contenders.contender import AbsentError
from bench.floor import ACCEPTING
from bench.generator.window import Target, Window
from bench.load import LoadGenerator
from bench.processes import await_line, running


@pytest.mark.parametrize("options", [[], [ACCEPTING]])
@pytest.mark.parametrize("streamed", [False, True])
def test_the_bare_server_answers_rightly_however_it_takes_its_calls(
    tmp_path: Path, options: list[str], streamed: bool
) -> None:
    log = tmp_path / "floor.log"
    window = Window(streamed=streamed, concurrency=16, seconds=30.0, requests=64)
    with running([sys.executable, "-m", "bench.floor", *options], log) as process:
        address = await_line(process, log, "ready ").split()[1]
        with LoadGenerator.running(Target("floor", address)) as load:
            seen = load.run(window)
    assert (seen.requests, seen.errors) == (64, 0), seen.first_error


def test_the_total_of_a_dump_is_its_own_and_not_a_functions() -> None:
    assert total("events: Ir\nsummary: 12\nfn=(1) totals: 7\n0 5\ntotals: 12\n") == 12


def test_a_dump_without_a_total_is_refused() -> None:
    with pytest.raises(ValueError, match="no totals"):
        total("events: Ir\n")


def test_without_valgrind_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AbsentError, match="install Valgrind"):
        under_callgrind(tmp_path)
