"""A router with its real peers and the simulator, in the test's loop."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.in_process import InProcessSuite, in_process

StartRouter = Callable[..., AbstractAsyncContextManager[InProcessSuite]]
"""Takes the `router:` section, and variables of any service as keywords."""


@pytest.fixture
def start_router(tmp_path: Path) -> StartRouter:
    def start(section: dict[str, Any], **environ: str) -> AbstractAsyncContextManager[InProcessSuite]:
        return in_process(tmp_path, section, environ)

    return start
