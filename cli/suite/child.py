"""One child process: started with its log, ended with its parent."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services._runtime.private import OWNER_ONLY_MASK, private_file


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """A process to be: `python -m module arguments`, with `environ` beside what it may see of the user's."""

    name: str
    module: str
    arguments: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    port_file: Path | None = None


class Child:
    """A running process, leader of a process group of its own: Ctrl-C reaches its parent alone."""

    def __init__(self, plan: ChildPlan, environ: Mapping[str, str], log: Path) -> None:
        self.plan = plan
        self.name = plan.name
        self.log = log
        self._port_file = plan.port_file
        if plan.port_file is not None:
            plan.port_file.unlink(missing_ok=True)
        with os.fdopen(private_file(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "cli.suite.bound",
                    str(os.getpid()),
                    plan.module,
                    *plan.arguments,
                ],
                env={**environ, **plan.environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                umask=OWNER_ONLY_MASK,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def address(self) -> str | None:
        """Where it serves, once it does."""
        if self._port_file is None:
            ready = self.logged("ready")
            return None if ready is None else str(ready["address"])
        return self._port_file.read_text(encoding="utf-8").strip() if self._port_file.exists() else None

    def logged(self, event: str) -> dict[str, Any] | None:
        """The last log line with this event."""
        found = None
        for line in self._log_lines():
            record = _record(line)
            if record is not None and record.get("event") == event:
                found = record
        return found

    def last_words(self) -> str:
        """Why it ended, as far as it said so."""
        lines = self._log_lines()
        plain = [line for line in lines if line.strip() and _record(line) is None]
        if plain:
            return plain[-1].strip()
        last = _record(lines[-1]) if lines else None
        return "" if last is None else str(last.get("problem") or last.get("event", ""))

    def terminate(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """The whole group at once: workers too."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _log_lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
