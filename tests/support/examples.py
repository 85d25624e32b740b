"""The examples as somebody who has just cloned them builds and runs them: with the lines of examples/README.md."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

from tests.support.programs import require_binary
from tests.support.suite import clean_environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "examples/README.md").read_text(encoding="utf-8")
TOOLS: Mapping[str, Sequence[str]] = {
    "go": ["go"],
    "java": ["mvn", "java"],
    "node": ["npm", "node"],
    "python": ["python3"],
    "rust": ["cargo", "protoc"],
}
_COPIED = ("LICENSE", "clients", "examples", "gen/python", "protos", "pyproject.toml")
_BUILT = ignore_patterns("__pycache__", ".venv", "Cargo.lock", "client", "gen", "node_modules", "target")
_OFFLINE = {
    "CARGO_NET_OFFLINE": "true",
    "GOPROXY": "off",
    "GOSUMDB": "off",
    "PIP_NO_INDEX": "1",
    "npm_config_offline": "true",
}
_NOT_DOWNLOADED = re.compile(r"GOPROXY=off|ENOTCACHED|offline|No matching distribution")
_BUILD_SECONDS = 600.0
_RUN_SECONDS = 60.0
_ADDRESS = "127.0.0.1:50051"


def commands(language: str) -> list[str]:
    """What builds the example, and last what runs it."""
    found = re.search(
        rf"^## \[[^\]]+\]\({language}\)\n.*?^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE
    )
    assert found is not None, f"examples/README.md does not say how {language} is run"
    return found[1].splitlines()


def clone(target: Path) -> Path:
    """What the examples need of the repository; nothing that was built in it."""
    for name in _COPIED:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            copytree(ROOT / name, target / name, ignore=_BUILT)
        else:
            copy(ROOT / name, target / name)
    return target


def may_download() -> bool:
    """Packages come from their registries where servers are required; elsewhere from this machine, or not at all."""
    return os.environ.get("HEADGATE_TEST_REQUIRE_SERVERS") == "1"


@dataclass(frozen=True, slots=True)
class Example:
    """One language's, in a clone of its own."""

    language: str
    clone: Path

    @property
    def folder(self) -> Path:
        return self.clone / "examples" / self.language

    def build(self) -> None:
        """:raises Skipped: a tool is not installed, or a package is not on this machine and may not be downloaded"""
        for tool in TOOLS[self.language]:
            require_binary(tool)
        if not may_download():
            # The Maven of Debian 12 takes options from no variable.
            (self.folder / ".mvn").mkdir()
            (self.folder / ".mvn/maven.config").write_text("--offline\n")
        self.builds(commands(self.language)[:-1])

    def builds(self, lines: Sequence[str]) -> None:
        environ = {} if may_download() else _OFFLINE
        done = self._run("\n".join(["set -e", *lines]), environ, _BUILD_SECONDS)
        if done.returncode and not may_download() and _NOT_DOWNLOADED.search(done.stdout + done.stderr):
            pytest.skip(f"packages of the {self.language} example are not on this machine")
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, address: str, key: str) -> "subprocess.CompletedProcess[str]":
        line = commands(self.language)[-1]
        assert _ADDRESS in line
        return self._run(line.replace(_ADDRESS, address), {"KEY": key}, _RUN_SECONDS)

    def _run(
        self, script: str, environ: Mapping[str, str], seconds: float
    ) -> "subprocess.CompletedProcess[str]":
        tools = self.clone / "bin"
        path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=clean_environment({"PATH": path, "GOBIN": str(tools), **environ}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
