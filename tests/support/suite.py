"""The whole installation for end-to-end tests: four services and the simulator, started by `headgate up` on free ports.

`suite` (session; each xdist worker has its own) is a running `RunningSuite` that tests share, so they make keys of their
own where they change limits or count usage: `suite.new_key("somebody")`.

A test that kills a process, or wants other settings, starts one of its own:

    def test_…(start_suite: StartSuite) -> None:
        with start_suite(environ={"HEADGATE_ROUTER_PEER_TIMEOUT_SECONDS": "0.2"}, restart_after=2) as suite:
            suite.kill("billing")

`start_suite` also takes `config` (YAML that replaces config/demo.yaml; in it the simulator is http://127.0.0.1:8089),
`redis` (the URL that cache and ratelimit use) and `postgres` (the URL that billing uses).

`suite.addresses.grpc["router"]`, `.metrics[…]`, `.simulator`; `suite.api_key`; `suite.internal_token`;
`suite.headgate("complete", "Hi")` runs a command against it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self
from urllib.request import Request, urlopen

import pytest

from cli.installation import Addresses, Installation

_START_SECONDS = 90.0
_STOP_SECONDS = 60.0
_COMMAND_SECONDS = 120.0
_POLL_SECONDS = 0.05


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what would change a suite: Headgate's variables and providers' keys."""
    ours = ("HEADGATE_", "OPENAI_", "ANTHROPIC_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **(extra or {})}


class RunningSuite:
    """An installation in `data_dir`, and `headgate up` as `process`."""

    def __init__(self, data_dir: Path, options: Sequence[str], environ: Mapping[str, str] | None) -> None:
        self.data_dir = data_dir
        self.installation = Installation(data_dir)
        self.output = data_dir / "up.log"
        data_dir.mkdir(parents=True, exist_ok=True)
        # Bound: not even a test run that is killed leaves a suite behind.
        bound = [sys.executable, "-m", "cli.suite.bound", str(os.getpid()), "cli"]
        command = [*bound, "up", "--free-ports", "--data-dir", str(data_dir), *options]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env=clean_environment(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @classmethod
    @contextmanager
    def running(
        cls,
        data_dir: Path,
        *,
        environ: Mapping[str, str] | None = None,
        config: str | None = None,
        redis: str | None = None,
        postgres: str | None = None,
        restart_after: float | None = None,
    ) -> Iterator[Self]:
        stores = {"HEADGATE_CACHE_STORE": redis, "HEADGATE_RATELIMIT_STORE": redis}
        chosen = {
            name: url
            for name, url in {**stores, "HEADGATE_BILLING_STORE": postgres}.items()
            if url is not None
        }
        options = [] if restart_after is None else ["--restart-after", str(restart_after)]
        if config is not None:
            data_dir.mkdir(parents=True, exist_ok=True)
            (data_dir / "test.yaml").write_text(config, encoding="utf-8")
            options += ["--config", str(data_dir / "test.yaml"), "--simulator"]
        suite = cls(data_dir, options, {**chosen, **(environ or {})})
        try:
            suite.await_up()
            yield suite
        finally:
            suite.stop()

    @property
    def addresses(self) -> Addresses:
        running = self.installation.read_addresses()
        assert running is not None, "the suite does not run"
        return running

    @property
    def api_key(self) -> str:
        return self.installation.api_key({})

    @property
    def internal_token(self) -> str:
        return self.installation.internal_token({})

    def await_up(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while "Headgate is up" not in self.output.read_text(encoding="utf-8"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the suite did not start:\n{self.told()}")
            time.sleep(_POLL_SECONDS)

    def headgate(
        self, *arguments: str, environ: Mapping[str, str] | None = None, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """A command's exit code, standard output and standard error."""
        return run_headgate(
            *arguments, environ={"HEADGATE_DATA_DIR": str(self.data_dir), **(environ or {})}, stdin=stdin
        )

    def new_key(self, user: str, organization: str = "default") -> str:
        made = self.headgate("keys", "create", "--user", user, "--org", organization)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def pid(self, name: str) -> int:
        return self.addresses.pids[name]

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Of one service. Without `restart_after` the whole suite ends then."""
        os.kill(self.pid(name), number)

    def stop(self) -> int:
        """The exit code of `headgate up`, drained and ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the suite did not end:\n{self.told()}")

    def told(self) -> str:
        """What `up` printed, and the ends of its services' logs."""
        logs = sorted(self.installation.logs.glob("*.log"))
        ends = [f"-- {log.name}\n{log.read_text(encoding='utf-8')[-2000:]}" for log in logs]
        return "\n".join([self.output.read_text(encoding="utf-8"), *ends])

    def fault(self, faults: Mapping[str, str], *, model: str | None = None, count: int | None = 1) -> None:
        """The simulator's next `count` requests (None: until cleared) behave so; simulator/README.md lists the knobs."""
        body = json.dumps({"faults": faults, "model": model, "count": count}).encode()
        self._simulator("faults", body)

    def clear_faults(self) -> None:
        self._simulator("faults", method="DELETE")

    def served(self) -> list[dict[str, object]]:
        """What the simulator has served, oldest first."""
        records: list[dict[str, object]] = json.loads(self._simulator("served"))["served"]
        return records

    def _simulator(self, path: str, body: bytes | None = None, method: str | None = None) -> bytes:
        url, headers = f"{self.addresses.simulator}/control/{path}", {"Content-Type": "application/json"}
        with urlopen(Request(url, body, headers, method=method)) as response:  # noqa: S310 - the simulator
            answer: bytes = response.read()
            return answer


HEADGATE = (sys.executable, "-m", "cli")
StartSuite = Callable[..., AbstractContextManager[RunningSuite]]
"""Takes the keyword arguments of `RunningSuite.running`."""


def run_headgate(
    *arguments: str, environ: Mapping[str, str] | None = None, stdin: str | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*HEADGATE, *arguments],
        env=clean_environment(environ),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    with RunningSuite.running(tmp_path_factory.mktemp("suite")) as running:
        yield running


@pytest.fixture
def start_suite(tmp_path: Path) -> StartSuite:
    return lambda **options: RunningSuite.running(tmp_path / "suite", **options)
