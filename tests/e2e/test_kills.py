"""Processes are killed at random while streams run, and the books are true afterwards: scripts/kills.py, shortly."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_nothing_is_booked_twice_lost_or_held(store: str, request: pytest.FixtureRequest) -> None:
    arguments = ["--billing-store", request.getfixturevalue("postgres_url")] if store == "postgresql" else []
    done = subprocess.run(
        [sys.executable, "scripts/kills.py", "--minutes", "0.3", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.splitlines()[-1] == "true"
