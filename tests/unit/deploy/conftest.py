"""The secrets of compose.yaml, as deploy/secrets/generate writes them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.deploy.compose_file import ROOT

Generate = Callable[..., Path]


@pytest.fixture
def generate(tmp_path: Path) -> Generate:
    """Runs the script, with the variables given, in a folder of the test's own."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    shutil.copy(ROOT / "deploy" / "secrets" / "generate", folder)

    def run(**environ: str) -> Path:
        environment = {"PATH": "/usr/bin:/bin", **environ}
        subprocess.run([str(folder / "generate")], env=environment, check=True)
        return folder

    return run


@pytest.fixture
def secrets(generate: Generate) -> Path:
    return generate(OPENAI_API_KEY="sk-of-the-test")
