"""What was served, request by request, so that what was billed can be compared with it."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Literal

import msgspec

DEFAULT_CAPACITY = 1_000_000

Outcome = Literal["running", "complete", "refused", "fault", "cut", "client_gone"]


class Record(msgspec.Struct, gc=False):
    """One request. `fault`, `cut` and `refused` are the server's doing; `client_gone` is the client's."""

    seq: int
    id: str
    request_id: str
    """The client's own `x-client-request-id`, or else `x-request-id`; empty when it sent neither."""
    api: str
    started_at: float
    """Unix seconds."""
    ended_at: float = 0.0
    """Unix seconds; 0: it is running."""
    model: str = ""
    """Without its knobs."""
    streamed: bool = False
    input_tokens: int = 0
    """The whole prompt, read from a cache or not."""
    cached_tokens: int = 0
    cache_written_tokens: int = 0
    output_tokens: int = 0
    """Generated so far: after a disconnect no more are."""
    written_tokens: int = 0
    """Handed to the socket so far; at most `output_tokens`."""
    reasoning_tokens: int = 0
    """Of the whole answer, whether or not it was written in full."""
    tier: str = ""
    """The service tier that the answer names; empty for the API's standard."""
    status: int = 0
    """The HTTP status sent; 0: none."""
    outcome: Outcome = "running"


class Ledger:
    """The latest `capacity` records, each visible from the moment its request arrives."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._records: deque[Record] = deque(maxlen=capacity)
        self._last_seq = 0

    def open(self, api: str, request_id: str, started_at: float) -> Record:
        self._last_seq += 1
        seq = self._last_seq
        record = Record(seq, f"sim-{seq}", request_id, api, started_at)
        self._records.append(record)
        return record

    def since(self, seq: int) -> Iterator[Record]:
        """Records that were opened after the one numbered `seq`, oldest first."""
        newer = self._last_seq - seq
        return islice(self._records, max(0, len(self._records) - newer), None)

    def reset(self) -> None:
        """Forget all records. Numbers go on, so that a reader's `since` stays true."""
        self._records.clear()

    @property
    def last_seq(self) -> int:
        return self._last_seq

    def __len__(self) -> int:
        return len(self._records)
