"""`headgate demo` shows what it says it shows, and leaves nothing behind."""

import os
import re
from pathlib import Path

import pytest

from tests.support.suite import RunningSuite, run_headgate

pytestmark = pytest.mark.timeout(300)


def test_the_demo_shows_every_step_and_leaves_nothing(tmp_path: Path) -> None:
    done = run_headgate("demo", environ={"TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("cache miss", "cache hit", "refused:", "Try again in", "$0.00 ", "Exchange", "Done in"):
        assert shown in done.stdout, done.stdout
    pids = [int(pid) for pid in re.findall(r"process (\d+)", done.stdout)]
    assert len(pids) == 5
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_uses_the_provider_whose_key_is_set(suite: RunningSuite) -> None:
    simulated = {
        "ANTHROPIC_API_KEY": "a key that the simulator does not look at",
        "ANTHROPIC_BASE_URL": suite.addresses.simulator,
        "ANTHROPIC_MODEL": "sim-medium",
    }
    suite.fault({"gap": "10ms"}, model="sim-medium", count=None)
    done = run_headgate("demo", environ=simulated)
    suite.clear_faults()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sim-medium by anthropic" in done.stdout
    assert "simulator" not in done.stdout


def test_a_demo_that_can_not_show_its_first_step_fails_and_leaves_nothing(tmp_path: Path) -> None:
    nowhere = {
        "OPENAI_API_KEY": "no key",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "TMPDIR": str(tmp_path),
    }
    done = run_headgate("demo", environ=nowhere)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
