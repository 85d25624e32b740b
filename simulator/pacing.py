"""Which events are due when: events that are due together are one piece of data for one socket write."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from simulator.frame import Frame

# Bounds what one write holds, so that a slow reader sees the stream stop close to where it stopped reading.
_MOST_FRAMES = 256


@dataclass(frozen=True, slots=True)
class Batch:
    data: bytes
    tokens: int
    last: bool


class Pacer:
    """Token `k` (from 0) is due `k * gap_seconds` after the first; an event without a token, with the token before."""

    def __init__(self, frames: Iterable[Frame], gap_seconds: float) -> None:
        self._frames = iter(frames)
        self._gap = gap_seconds
        self._next = next(self._frames, None)
        self._tokens = 0

    @property
    def done(self) -> bool:
        return self._next is None

    def due_seconds(self) -> float:
        """When the next event is due, from the time of the first token."""
        return 0 if self._next is None else max(0, self._tokens + self._next[1] - 1) * self._gap

    def take(self, elapsed_seconds: float) -> Batch:
        """The events that are due now: at least one, as the caller has waited for it."""
        due_tokens = math.floor(elapsed_seconds / self._gap) + 1 if self._gap else math.inf
        before, data = self._tokens, list[bytes]()
        frame = self._next
        while frame is not None and len(data) < _MOST_FRAMES:
            if data and self._tokens + frame[1] > due_tokens:
                break
            data.append(frame[0])
            self._tokens += frame[1]
            frame = next(self._frames, None)
        self._next = frame
        return Batch(b"".join(data), self._tokens - before, self.done)


def frames_until(frames: Iterable[Frame], tokens: int) -> Iterator[Frame]:
    """The events up to and including the given count of tokens; none for 0."""
    left = tokens
    for frame in frames if tokens else ():
        yield frame
        left -= frame[1]
        if not left:
            return


def opening_frames(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The events before the first token."""
    return takewhile(lambda frame: not frame[1], frames)
