"""Programs that tests start and do not bring along."""

import os
import shutil

import pytest


def require_binary(name: str) -> str:
    """The path of a program; without it the test skips, or fails when servers are required."""
    found = shutil.which(name)
    if found is not None:
        return found
    reason = f"{name} is not installed"
    if os.environ.get("HEADGATE_TEST_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{reason}, and HEADGATE_TEST_REQUIRE_SERVERS=1")
    pytest.skip(reason)
