"""Valgrind's callgrind: how many instructions a process takes for what it is asked meanwhile."""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contenders.contender import AbsentError

_TOTAL = re.compile(r"^totals: (\d+)$", re.MULTILINE)


def under_callgrind(folder: Path, children_without: Sequence[str] | None = None) -> list[str]:
    """What a command is begun with; nothing is counted yet, so that it starts in good time.

    `children_without`: its children are run so, too, but for those with such an argument.
    :raises AbsentError: Valgrind is not installed
    """
    if shutil.which("callgrind_control") is None:
        raise AbsentError("callgrind_control is missing: install Valgrind")
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
    command.append(f"--callgrind-out-file={folder}/callgrind.%p")
    if children_without is not None:
        skipped = ",".join(children_without)
        command += ["--trace-children=yes", f"--trace-children-skip-by-arg={skipped}"]
    return command


@dataclass(frozen=True, slots=True)
class Counting:
    """A process that runs under callgrind."""

    pid: int
    folder: Path

    def begin(self) -> None:
        self._tell("--instr=on")

    def count(self, do: Callable[[], object]) -> int:
        """Instructions of the process while `do` runs."""
        self._tell("--zero")
        do()
        before = self._dumps()
        self._tell("--dump")
        (dump,) = self._dumps() - before
        return total(dump.read_text(encoding="utf-8", errors="replace"))

    def _dumps(self) -> set[Path]:
        return set(self.folder.glob(f"callgrind.{self.pid}*"))

    def _tell(self, what: str) -> None:
        subprocess.run(["callgrind_control", what, str(self.pid)], check=True, capture_output=True)


def total(dump: str) -> int:
    """What was counted, from the text of callgrind's file."""
    found = _TOTAL.search(dump)
    if found is None:
        raise ValueError("no totals in callgrind's file")
    return int(found[1])
