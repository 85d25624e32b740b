"""The Dockerfile's steps, as far as they can be proven without a container engine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.deploy.compose_file import ROOT, compose, ours

Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(word, rest) for line in joined.splitlines() if line for word, _, rest in [line.partition(" ")]]


def copied() -> dict[str, str]:
    """Sources in the repository, and where they come to stand."""
    pairs = [rest.split() for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    return dict(pairs)


def values(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What /app holds in the image."""
    app = tmp_path_factory.mktemp("app")
    ignored = shutil.ignore_patterns("__pycache__")
    for source, target in copied().items():
        if not target.startswith("/"):
            shutil.copytree(ROOT / source, app / target, ignore=ignored)
    return app


def test_what_is_copied_is_in_the_repository_and_let_through() -> None:
    let_through = (ROOT / ".dockerignore").read_text().split()
    assert "*" in let_through
    for source in copied():
        assert (ROOT / source).exists()
        assert f"!{source.partition('/')[0]}" in let_through


def test_packages_are_installed_from_the_lock_by_their_hashes() -> None:
    (install,) = [step for step in values("RUN") if " install " in step and "pip" in step]
    assert "--require-hashes" in install
    assert copied()["requirements.lock"] in install


def test_the_image_is_small_and_does_not_run_as_root() -> None:
    assert {base.split()[0] for base in values("FROM")} == {"python:3.11-slim"}
    assert len(values("FROM")) == 2
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", values("USER")[-1])


def test_the_lock_names_everything_with_hashes() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [line for line in lines if re.match(r"[a-z0-9]", line)]
    assert pinned
    assert [line for line in pinned if "==" not in line or not line.endswith("\\")] == []


@pytest.mark.parametrize(
    "module",
    sorted(
        {(e.get("entrypoint", []) + e["command"])[2] for e in ours().values()}
        | {"services._runtime.process.probe"}
    ),
)
def test_what_is_copied_is_enough_for_every_command(image: Path, module: str) -> None:
    name = module if module.endswith("probe") else f"{module}.__main__"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{image}:{image}/gen/python"}
    # -S -s keep the editable installation of this repository out; its packages are named instead.
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    program = f"import sys; sys.path.append({packages!r}); import {name} as m; print(m.__file__)"
    command = [sys.executable, "-S", "-s", "-c", program]
    done = subprocess.run(command, cwd=image, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(image))


def test_the_data_directory_belongs_to_the_user_that_runs() -> None:
    environment = " ".join(values("ENV"))
    assert "HEADGATE_DATA_DIR=/data" in environment
    assert any(re.search(r"install -d -m 0700 -o headgate -g headgate /data", step) for step in values("RUN"))
    assert compose()["services"]["router"]["volumes"] == ["spool:/data"]
