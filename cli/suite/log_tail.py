"""The children's logs, line by line as they are written, for `headgate up --logs`."""

from collections.abc import Iterator
from pathlib import Path


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
