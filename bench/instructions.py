"""Instructions of a bare gRPC server per call, counted by Valgrind's callgrind: the same on a busy machine."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contenders.contender import AbsentError
from bench.generator.window import Target, Window
from bench.load import LoadGenerator
from bench.processes import await_line, running

_STARTING_SECONDS = 120.0
_WARMING = 192
_SECONDS = 300.0
_IN_FLIGHT = 64
_CHUNKS = 64
_TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Counted:
    """Instructions per call."""

    unary: float
    stream: float


def count(folder: Path, *, accepting: str, interpreter: str = sys.executable, calls: int = 600) -> Counted:
    """`accepting`: how the floor takes its calls, see bench/floor.py."""
    with _counting(folder, interpreter, accepting) as server:
        return Counted(
            server.count(streamed=False, calls=calls), server.count(streamed=True, calls=calls // 4)
        )


@dataclass(frozen=True, slots=True)
class _Server:
    pid: int
    folder: Path
    load: LoadGenerator

    def count(self, *, streamed: bool, calls: int) -> float:
        """What one call takes once the interpreter knows the way; calls stay in flight to the last one."""
        self._send(streamed, _WARMING)
        self._tell("--zero")
        self._send(streamed, calls)
        before = set(self.folder.glob("callgrind.*"))
        self._tell("--dump")
        (dump,) = set(self.folder.glob("callgrind.*")) - before
        found = _TOTAL.search(dump.read_text(encoding="utf-8", errors="replace"))
        assert found is not None, dump  # noqa: S101 - callgrind's own format
        return int(found[1]) / calls

    def _send(self, streamed: bool, calls: int) -> None:
        window = Window(
            streamed=streamed, concurrency=_IN_FLIGHT, seconds=_SECONDS, requests=calls, tokens=_CHUNKS
        )
        seen = self.load.run(window)
        assert (seen.requests, seen.errors) == (calls, 0), seen.first_error  # noqa: S101

    def _tell(self, what: str) -> None:
        subprocess.run(["callgrind_control", what, str(self.pid)], check=True, capture_output=True)


@contextmanager
def _counting(folder: Path, interpreter: str, accepting: str) -> Iterator[_Server]:
    if shutil.which("callgrind_control") is None:
        raise AbsentError("callgrind_control is missing: install Valgrind")
    folder.mkdir(parents=True, exist_ok=True)
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.%p"]
    log = folder / "floor.log"
    with running([*valgrind, interpreter, "-m", "bench.floor", accepting], log) as process:
        address = await_line(process, log, "ready ", _STARTING_SECONDS).split()[1]
        with LoadGenerator.running(Target("floor", address)) as load:
            yield _Server(process.pid, folder, load)
