"""The children's logs, line by line as they are written, for `headgate up --logs`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from cli.suite.child import Child


class LogTail:
    """New whole lines of one file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""

    def lines(self) -> Iterator[str]:
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")

    def close(self) -> None:
        self._file.close()


class LogTails:
    """New lines of all children; a child that was started again has a new log."""

    def __init__(self) -> None:
        self._tails: dict[str, tuple[int, LogTail]] = {}

    def new_lines(self, children: Mapping[str, Child]) -> Iterator[tuple[str, str]]:
        for name, child in children.items():
            for line in self._tail(child).lines():
                yield name, line

    def close(self) -> None:
        for _pid, tail in self._tails.values():
            tail.close()
        self._tails.clear()

    def _tail(self, child: Child) -> LogTail:
        pid, tail = self._tails.get(child.name, (0, None))
        if tail is not None and pid == child.pid:
            return tail
        if tail is not None:
            tail.close()
        self._tails[child.name] = (child.pid, LogTail(child.log))
        return self._tails[child.name][1]
