"""The load generator as the measuring sees it: windows in, what was seen out."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import msgspec

from bench.generator.window import Seen, Target, Window
from bench.processes import bound, python_module

_SHARE = 100_000_000
"""The numbers of requests of one generator."""


@dataclass(frozen=True, slots=True)
class LoadGenerator:
    """One or more processes that load one target together."""

    processes: tuple["subprocess.Popen[bytes]", ...]

    @classmethod
    @contextmanager
    def running(cls, target: Target, processes: int = 1) -> Iterator["LoadGenerator"]:
        with ExitStack() as ending:
            yield cls(tuple(ending.enter_context(_one(target)) for _ in range(processes)))

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def run(self, window: Window) -> Seen:
        count = len(self.processes)
        for index, process in enumerate(self.processes):
            share = msgspec.structs.replace(
                window,
                concurrency=max(1, window.concurrency // count),
                first=window.first + index * _SHARE,
                requests=max(1, window.requests // count),
            )
            _send(process, share)
        seen = Seen()
        for process in self.processes:
            seen.add(msgspec.json.decode(_read(process), type=Seen))
        return seen


@contextmanager
def _one(target: Target) -> Iterator["subprocess.Popen[bytes]"]:
    command = bound(python_module("bench.generator"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0) as process:
        try:
            _send(process, target)
            _read(process)
            yield process
        finally:
            process.kill()


def _send(process: "subprocess.Popen[bytes]", message: msgspec.Struct) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    process.stdin.write(msgspec.json.encode(message) + b"\n")
    process.stdin.flush()


def _read(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the load generator ended by itself")
    return line
