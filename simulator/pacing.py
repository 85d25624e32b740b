"""Which events are due when: events that are due together are one piece of data for one socket write."""

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.reply import Frame

# Bounds what one write holds, so that a slow reader sees the stream stop close to where it stopped reading.
_MOST_FRAMES = 256


@dataclass(frozen=True, slots=True)
class Batch:
    data: bytes
    tokens: int
    last: bool


class Pacer:
    """Token `k` (from 0) is due `k * gap_seconds` after the first; an event without a token, with the token before."""

    def __init__(self, frames: Sequence[Frame], gap_seconds: float) -> None:
        self._frames = frames
        self._gap = gap_seconds
        self._next = 0
        self._tokens = 0

    @property
    def done(self) -> bool:
        return self._next >= len(self._frames)

    def due_seconds(self) -> float:
        """When the next event is due, from the time of the first token."""
        return max(0, self._tokens + self._frames[self._next][1] - 1) * self._gap

    def take(self, elapsed_seconds: float) -> Batch:
        """The events that are due now: at least one, as the caller has waited for it."""
        start = self._next
        tokens = self._tokens
        end = min(start + _MOST_FRAMES, len(self._frames))
        self._advance()
        while self._next < end and self.due_seconds() <= elapsed_seconds:
            self._advance()
        data = b"".join(frame[0] for frame in self._frames[start : self._next])
        return Batch(data, self._tokens - tokens, self.done)

    def _advance(self) -> None:
        self._tokens += self._frames[self._next][1]
        self._next += 1


def frames_until(frames: Sequence[Frame], tokens: int) -> Sequence[Frame] | None:
    """The events up to and including the given count of tokens; None when there are not that many."""
    if tokens == 0:
        return ()
    seen = 0
    for position, frame in enumerate(frames):
        seen += frame[1]
        if seen == tokens:
            return frames[: position + 1]
    return None
