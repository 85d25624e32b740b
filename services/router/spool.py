"""What billing has not acknowledged yet, on this machine's disk: written before the network is tried.

A spool is a folder of segment files. A record is `length, CRC-32, payload` (little endian); a torn last record, left by a
crash in the middle of a write, ends its segment. Records are never marked: a segment is deleted when everything in it was
acknowledged, and what a restart finds is sent again, which is harmless because billing books each attempt once.

Appending is one `write` by the caller, so that what it returned from survives the death of the process; `sync` makes it
survive the loss of power and is called in groups.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_HEADER = struct.Struct("<II")
SEGMENT_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class _Segment:
    path: Path
    descriptor: int
    size: int = 0
    open_records: set[int] = field(default_factory=set)


class Spool:
    """One process's spool: `folder` is its own, by an advisory lock, for as long as it lives."""

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._payloads: dict[int, tuple[_Segment, bytes]] = {}
        self._bytes = 0
        self._next_record = 0
        self._next_segment = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder)
        self._segment = self._open_segment()

    @property
    def depth(self) -> int:
        """Records that are not acknowledged."""
        return len(self._payloads)

    @property
    def is_full(self) -> bool:
        return self._bytes >= self._max_bytes

    def append(self, payload: bytes) -> int:
        """Keep `payload` until it is acknowledged; its number.

        :raises OSError: the disk refused; the caller must not go on as if it were kept.
        """
        if self._segment.size >= self._segment_bytes:
            self._segment = self._open_segment()
        segment = self._segment
        record = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        try:
            _write_whole(segment.descriptor, record)
        except OSError:
            os.ftruncate(segment.descriptor, segment.size)
            raise
        number = self._next_record
        self._next_record += 1
        segment.size += len(record)
        segment.open_records.add(number)
        self._payloads[number] = (segment, payload)
        self._bytes += len(payload)
        return number

    def acknowledge(self, number: int) -> None:
        """Forget a record; the last one of a segment takes the segment with it."""
        entry = self._payloads.pop(number, None)
        if entry is None:
            return
        segment, payload = entry
        self._bytes -= len(payload)
        segment.open_records.discard(number)
        if not segment.open_records:
            self._retire(segment)

    def unacknowledged(self) -> list[tuple[int, bytes]]:
        """What is kept, oldest first."""
        return [(number, payload) for number, (_, payload) in self._payloads.items()]

    def sync(self) -> None:
        """Make what was appended survive the loss of power. Blocks; call it from a thread."""
        os.fdatasync(self._segment.descriptor)

    def close(self) -> None:
        """Release the folder, and remove it when nothing is kept in it."""
        empty = not self._payloads
        for segment in {id(s): s for s, _ in self._payloads.values()}.values():
            if segment is not self._segment:
                os.close(segment.descriptor)
        os.close(self._segment.descriptor)
        if empty:
            self._segment.path.unlink(missing_ok=True)
            (self._folder / "lock").unlink(missing_ok=True)
            self._folder.rmdir()
        os.close(self._lock)

    def _open_segment(self) -> _Segment:
        path = self._folder / f"{self._next_segment:08d}.seg"
        self._next_segment += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        return _Segment(path, os.open(path, flags, 0o600))

    def _retire(self, segment: _Segment) -> None:
        if segment is self._segment:
            # Nothing is owed: begin again at the front instead of making a file per quiet moment.
            if segment.size >= self._segment_bytes // 4:
                os.ftruncate(segment.descriptor, 0)
                segment.size = 0
            return
        os.close(segment.descriptor)
        segment.path.unlink(missing_ok=True)


def open_spool(root: Path, max_bytes: int) -> tuple[Spool, list[bytes]]:
    """The process's spool under `root`, and the records that dead processes left there, moved into it.

    :raises OSError: the folder can't be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    spool = Spool(root / f"{os.getpid()}-{os.urandom(4).hex()}", max_bytes)
    adopted: list[bytes] = []
    for folder in sorted(root.iterdir()):
        if folder != spool._folder and folder.is_dir():  # noqa: SLF001 - a constructor beside its class
            adopted += _adopt(folder, spool)
    return spool, adopted


def _adopt(folder: Path, spool: Spool) -> list[bytes]:
    """Take over a dead process's records; one that lives holds its lock and keeps them."""
    try:
        lock = _lock(folder)
    except BlockingIOError:
        return []
    try:
        payloads = [payload for path in sorted(folder.glob("*.seg")) for payload in read_segment(path)]
        for payload in payloads:
            spool.append(payload)
        spool.sync()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    finally:
        os.close(lock)
    return payloads


def read_segment(path: Path) -> Iterator[bytes]:
    """The records of a segment, up to the first that is torn or damaged."""
    content = path.read_bytes()
    position = 0
    while position + _HEADER.size <= len(content):
        length, checksum = _HEADER.unpack_from(content, position)
        payload = content[position + _HEADER.size : position + _HEADER.size + length]
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        yield payload
        position += _HEADER.size + length


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def _write_whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
