"""Programs that a benchmark starts: bound to it, their output kept, ended when it is over."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_SETTINGS = ("HEADGATE_", "OPENAI_", "ANTHROPIC_")
_END_SECONDS = 10.0
_POLL_SECONDS = 0.05


class DidNotStartError(Exception):
    """A program ended, or was not ready in time; the message says what it printed last."""


def python_module(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def bound(command: Sequence[str]) -> list[str]:
    """The same, ended by the kernel with its parent, where util-linux can do that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else list(command)


def inherited() -> dict[str, str]:
    """The environment, without what configures a gateway."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    environ: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
    user: str | None = None,
    *,
    folder: Path | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            bound(command),
            env={**inherited(), **(environ or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
    try:
        yield process
    finally:
        _end(process, stop)


def await_line(process: "subprocess.Popen[bytes]", log: Path, begins: str, seconds: float = 30.0) -> str:
    """The first line of its log that holds `begins`.

    :raises DidNotStartError: it ended, or said nothing of the kind in time
    """
    deadline = time.monotonic() + seconds
    while True:
        # Its end is looked for first, so that what it said before is not missed.
        ended = process.poll() is not None
        text = log.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if begins in line:
                return line
        if ended or time.monotonic() > deadline:
            raise DidNotStartError(f"{log.stem} did not start: {' | '.join(text.splitlines()[-3:])}")
        time.sleep(_POLL_SECONDS)


@contextmanager
def serving(module: str, log: Path) -> Iterator[tuple[int, str]]:
    """Process id and address of a module of `bench` that prints `ready host:port`."""
    with running(python_module(module), log) as process:
        yield process.pid, await_line(process, log, "ready ").split()[1]


def _end(process: "subprocess.Popen[bytes]", stop: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(stop)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
