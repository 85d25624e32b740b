"""Server-sent events out of raw bytes: every complete event of a read at once, each byte looked at once."""

from typing import Self

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LARGEST_EVENT_BYTES = 4 * 1024 * 1024
ERRORS = frozenset({b"error", b"exception"})
_PINGS = frozenset({b"ping", b"keepalive", b"keep-alive", b"heartbeat"})


class EventTooLargeError(ValueError):
    """An event exceeds what this side is willing to hold."""


class NamedEvent(bytes):
    """The data of an event whose name counts, as the data does not repeat it.

    Of an error the data follows its name: so it is no JSON, and nobody takes it for an answer.
    """

    name: bytes

    def __new__(cls, data: bytes, name: bytes) -> Self:
        event = super().__new__(cls, data)
        event.name = name
        return event


class SseParser:
    """Of an event its `data` is kept, and its name where that says more; neither API resumes by id.

    UTF-8 is decoded by whoever reads the event, so a character may be split over reads.
    """

    __slots__ = ("_after_cr", "_data", "_largest", "_name", "_partial", "_partial_bytes", "_started")

    def __init__(self, largest_event_bytes: int = LARGEST_EVENT_BYTES) -> None:
        self._largest = largest_event_bytes
        self._partial: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._partial_bytes = 0
        self._after_cr = False
        self._started = False

    @property
    def pending_bytes(self) -> int:
        """Of an event that has begun, and not ended."""
        return self._partial_bytes + sum(map(len, self._data))

    def feed(self, read: bytes) -> list[bytes]:
        """The data of every event that `read` completes, in order.

        :raises EventTooLargeError: what is pending exceeds the cap
        """
        if b"\r" in read or self._after_cr:
            read = self._with_plain_line_ends(read)
        lines = read.split(b"\n")
        rest = lines.pop()
        events: list[bytes] = []
        if lines:
            if self._partial or not self._started:
                lines[0] = self._first_line(lines[0])
            self._take(lines, events)
        if rest:
            self._partial.append(rest)
        if rest or self._data:
            self._check_size(len(rest))
        return events

    def finish(self) -> list[bytes]:
        """The event that was not ended when the stream did, if any."""
        return self.feed(b"\n\n")

    def _first_line(self, end: bytes) -> bytes:
        if self._partial:
            end = b"".join((*self._partial, end))
            self._partial.clear()
            self._partial_bytes = 0
        if not self._started:
            self._started = True
            end = end.removeprefix(_BYTE_ORDER_MARK)
        return end

    def _take(self, lines: list[bytes], events: list[bytes]) -> None:
        data = self._data
        for line in lines:
            if not line:
                if self._name:
                    self._end_named(events)
                elif data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
            elif line.startswith(b"data: "):
                data.append(line[6:])
            elif line.startswith(b"data:"):
                data.append(line[5:])
            elif line == b"data":
                data.append(b"")
            elif line.startswith(b"event:"):
                self._name = line[6:].strip()

    def _end_named(self, events: list[bytes]) -> None:
        data, name, is_empty = b"\n".join(self._data), self._name, not self._data
        if name in ERRORS:
            events.append(NamedEvent(name + b"\n" + data, name))
        elif not is_empty and name not in _PINGS:
            events.append(data if name in data else NamedEvent(data, name))
        self._data.clear()
        self._name = b""

    def _check_size(self, added: int) -> None:
        """Only of what is kept for the next read: what was completed is no larger than one read."""
        self._partial_bytes += added
        if self.pending_bytes > self._largest:
            raise EventTooLargeError(f"an event of more than {self._largest} bytes")

    def _with_plain_line_ends(self, read: bytes) -> bytes:
        """CR and CRLF as LF; a CR at the end of a read counts at once, and an LF that follows it is the same line end."""
        if self._after_cr and read:
            self._after_cr = False
            read = read.removeprefix(b"\n")
        if read.endswith(b"\r"):
            self._after_cr = True
        return read.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
