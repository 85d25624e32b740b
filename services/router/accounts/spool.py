"""What billing has not acknowledged yet, on this machine's disk: written before the network is tried.

A spool is a folder of segment files. A record is `length, CRC-32, payload` (little endian); a torn last record, left by a
crash in the middle of a write, ends its segment. Records are never marked: a segment is deleted when everything in it was
acknowledged, and what a restart finds is sent again, which is harmless because billing books each attempt once.

Appending is one `write` by the caller, so that what it returned from survives the death of the process; what `pending_sync`
gives makes it survive the loss of power and is called in groups.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from services._runtime.private import FILE_MODE, narrow, private_file, private_folder

_HEADER = struct.Struct("<II")
SEGMENT_BYTES = 4 * 1024 * 1024


@dataclass(slots=True, eq=False)
class _Segment:
    path: Path
    descriptor: int
    size: int = 0
    synced: int = 0
    open_records: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Kept:
    """`segment` is None while the disk refuses the record, which is then in memory only."""

    payload: bytes
    segment: _Segment | None = None


class Spool:
    """One process's spool: `folder` is its own, by an advisory lock, for as long as it lives."""

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        """:raises OSError: the folder can't be written, or is another process's."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._kept: dict[int, _Kept] = {}
        self._unwritten: dict[int, _Kept] = {}
        self._segments: list[_Segment] = []
        self._bytes = 0
        self._next_record = 0
        self._next_segment = 0
        self._current: _Segment | None = None
        private_folder(folder)
        self._lock = _lock(folder)

    @property
    def depth(self) -> int:
        """Records that are not acknowledged."""
        return len(self._kept)

    @property
    def is_full(self) -> bool:
        """Nothing should be begun that would have to be kept here: too much is, or the disk takes no more."""
        return self._bytes >= self._max_bytes or bool(self._unwritten)

    def append(self, payload: bytes) -> int:
        """Keep `payload` until it is acknowledged; its number.

        It is never refused, as what it tells of has happened: what the disk refuses is kept in memory, `is_full` says
        so, and `retry` writes it.
        """
        number, kept = self._next_record, _Kept(payload)
        self._next_record += 1
        self._kept[number] = kept
        self._bytes += len(payload)
        with suppress(OSError):
            self._write(number, kept)
        return number

    def retry(self) -> None:
        """Write what the disk refused.

        :raises OSError: it still refuses.
        """
        for number, kept in list(self._unwritten.items()):
            self._write(number, kept)

    def acknowledge(self, number: int) -> None:
        """Forget a record; the last one of a segment takes the segment with it."""
        kept = self._kept.pop(number, None)
        if kept is None:
            return
        self._bytes -= len(kept.payload)
        self._unwritten.pop(number, None)
        if kept.segment is not None:
            kept.segment.open_records.discard(number)
            self._retire(kept.segment)

    def keeps(self, number: int) -> bool:
        return number in self._kept

    def unacknowledged(self) -> Iterator[tuple[int, bytes]]:
        """What is kept, oldest first; to be read on without a pause."""
        return ((number, kept.payload) for number, kept in self._kept.items())

    def pending_sync(self) -> Callable[[], None] | None:
        """What makes all that was appended so far survive the loss of power, or None when it does.

        It blocks and belongs in a thread; it raises OSError when the disk fails.
        """
        unsynced = [segment for segment in self._segments if segment.size > segment.synced]
        if not unsynced:
            return None
        # The thread's own descriptors: these segments may be retired while it runs.
        descriptors = [os.dup(segment.descriptor) for segment in unsynced]
        for segment in unsynced:
            segment.synced = segment.size
        return lambda: _sync(descriptors)

    def close(self) -> None:
        """Release the folder. What is not acknowledged stays in it; the next start adopts and removes it."""
        for segment in list(self._segments):
            os.close(segment.descriptor)
            if not segment.open_records:
                segment.path.unlink(missing_ok=True)
        os.close(self._lock)

    def _write(self, number: int, kept: _Kept) -> None:
        self._unwritten[number] = kept
        segment = self._writable()
        record = _HEADER.pack(len(kept.payload), zlib.crc32(kept.payload)) + kept.payload
        try:
            _write_whole(segment.descriptor, record)
        except OSError:
            # Part of the record may be there, and nothing behind a torn record is read.
            self._current = None
            self._retire(segment)
            raise
        segment.size += len(record)
        segment.open_records.add(number)
        kept.segment = segment
        del self._unwritten[number]

    def _writable(self) -> _Segment:
        if self._current is None or self._current.size >= self._segment_bytes:
            path = self._folder / f"{self._next_segment:08d}.seg"
            self._next_segment += 1
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            left, self._current = self._current, _Segment(path, private_file(path, flags))
            self._segments.append(self._current)
            if left is not None:
                self._retire(left)
        return self._current

    def _retire(self, segment: _Segment) -> None:
        if segment.open_records:
            return
        if segment is self._current:
            # Nothing is owed: begin a new file now and then, instead of one per quiet moment.
            if segment.size < self._segment_bytes // 4:
                return
            self._current = None
        self._segments.remove(segment)
        os.close(segment.descriptor)
        # One that can't be removed is sent again, and booked once.
        with suppress(OSError):
            segment.path.unlink()


def open_spool(root: Path, max_bytes: int) -> tuple[Spool, int]:
    """The process's spool under `root`, and how many records that dead processes left there were moved into it.

    A segment with a damaged record is set aside under `root` as `damaged-…` once the rest of it is taken over.

    :raises OSError: the folder can't be written.
    """
    private_folder(root)
    for path in (*root.glob("damaged-*"), *root.glob("*/*")):
        narrow(path, FILE_MODE)
    # One process at a time: a folder that another is just making must not be taken for a dead one's.
    opening = _lock(root, wait=True)
    try:
        spool = Spool(root / f"{os.getpid()}-{os.urandom(4).hex()}", max_bytes)
        for folder in sorted(root.iterdir()):
            if folder != spool._folder and folder.is_dir():  # noqa: SLF001 - a constructor beside its class
                _adopt(folder, spool)
        return spool, spool.depth
    finally:
        os.close(opening)


def _adopt(folder: Path, spool: Spool) -> None:
    """Take over a dead process's records; one that lives holds its lock and keeps them."""
    try:
        lock = _lock(folder)
    except BlockingIOError:
        return
    try:
        segments = [(path, *read_segment(path)) for path in sorted(folder.glob("*.seg"))]
        for _, payloads, _ in segments:
            for payload in payloads:
                spool.append(payload)
        spool.retry()
        if (sync := spool.pending_sync()) is not None:
            sync()
        for path, _, damaged in segments:
            if damaged:
                path.rename(folder.parent / f"damaged-{folder.name}-{path.name}")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    finally:
        os.close(lock)


def read_segment(path: Path) -> tuple[list[bytes], bool]:
    """The whole records of a segment, and whether any other than a torn last one is damaged."""
    content = path.read_bytes()
    payloads, damaged = [], False
    position = 0
    while position + _HEADER.size <= len(content):
        length, checksum = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        payload = content[position : position + length]
        position += length
        if position > len(content):
            break
        if zlib.crc32(payload) == checksum:
            payloads.append(payload)
        else:
            damaged = True
    return payloads, damaged


def _lock(folder: Path, *, wait: bool = False) -> int:
    descriptor = private_file(folder / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def _write_whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync(descriptors: list[int]) -> None:
    try:
        for descriptor in descriptors:
            os.fdatasync(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
