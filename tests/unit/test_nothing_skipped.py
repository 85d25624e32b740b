"""A run for which servers are required can't pass by skipping."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = """
import pytest

def test_runs():
    pass

@pytest.mark.xfail(reason="known")
def test_is_known_to_fail():
    raise AssertionError

def test_skips():
    pytest.skip({reason!r})
"""


def outcome(folder: Path, suite: str, required: str) -> tuple[int, str]:
    (folder / "test_suite.py").write_text(suite)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.support.nothing_skipped",
        "-c",
        os.devnull,
        ".",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HEADGATE_TEST_REQUIRE_SERVERS": required}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_skip_fails_when_servers_are_required(tmp_path: Path) -> None:
    code, said = outcome(tmp_path, SUITE.format(reason="redis-server is not installed"), "1")
    assert code == 1
    assert "1 failed, 1 passed, 1 xfailed" in said
    assert "redis-server is not installed" in said


def test_a_skip_is_a_skip_otherwise(tmp_path: Path) -> None:
    code, said = outcome(tmp_path, SUITE.format(reason="redis-server is not installed"), "")
    assert code == 0
    assert "1 passed, 1 skipped, 1 xfailed" in said


def test_a_module_that_skips_fails_as_well(tmp_path: Path) -> None:
    code, said = outcome(tmp_path, "import pytest; pytest.importorskip('no_such_module')", "1")
    assert code != 0
    assert "no_such_module" in said


@pytest.mark.parametrize("reason", ["../shared is absent"])
def test_a_reason_that_is_no_servers_absence_is_let_through(tmp_path: Path, reason: str) -> None:
    code, said = outcome(tmp_path, SUITE.format(reason=reason), "1")
    assert code == 0
    assert "1 skipped" in said
