"""What billing refused for good, on disk for a person: appended and synced, in files of a bounded size, and never dropped.

`refused.jsonl` is the newest; full ones are beside it as `refused.1.jsonl`, `refused.2.jsonl` …, for whoever looks into them
to take away. When all together are too large, `is_full` says so, and no requests are admitted that could add to them.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services._runtime.private import FILE_MODE, narrow, private_file

FILE_BYTES = 8 * 1024 * 1024


class RefusedFiles:
    """Processes that share the folder take turns."""

    def __init__(self, folder: Path, max_bytes: int, file_bytes: int = FILE_BYTES) -> None:
        self.newest = folder / "refused.jsonl"
        self._folder = folder
        self._max_bytes = max_bytes
        self._file_bytes = min(file_bytes, max_bytes)
        for path in self._all():
            narrow(path, FILE_MODE)
        self.is_full = False
        self.look()

    def look(self) -> None:
        """Somebody may have taken files away, or another process have added to them."""
        self.is_full = sum(_size(path) for path in self._all()) >= self._max_bytes

    def append(self, line: bytes) -> None:
        """Keep one line, without its end.

        :raises OSError: the disk refuses it; nothing of it is left behind.
        """
        with self._alone():
            if _size(self.newest) >= self._file_bytes:
                self.newest.rename(self._next())
            _append_whole(self.newest, line + b"\n")
        self.look()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = private_file(self._folder / "refused.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _all(self) -> list[Path]:
        return list(self._folder.glob("refused*.jsonl"))

    def _next(self) -> Path:
        numbers = [int(part) for path in self._all() if (part := path.name.split(".")[1]).isdigit()]
        return self._folder / f"refused.{max(numbers, default=0) + 1}.jsonl"


def _append_whole(path: Path, line: bytes) -> None:
    descriptor = private_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        before = os.fstat(descriptor).st_size
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:
            # A torn line would spoil the next one.
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
