"""The books of a Headgate that is measured, for comparison with what was really sent and served."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from cli.client import Peer
from cli.usage_report import sums, usage_filter

_SECONDS = 15.0
_POLL_SECONDS = 0.1


@dataclass(slots=True)
class Tally:
    """Requests and tokens."""

    requests: int = 0
    cache_hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __str__(self) -> str:
        tokens = f"{self.input_tokens} + {self.output_tokens} tokens"
        return f"{self.requests} requests, {self.cache_hits} of them hits, {tokens}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether every request that was sent is in the books, and every token that was served."""

    contender: str
    sent: str
    booked: str

    @property
    def balances(self) -> bool:
        return self.sent == self.booked


class Ledger:
    """The entries of the provider `bench`; seeded rows have another."""

    def __init__(self, billing: Peer) -> None:
        self._billing = billing

    def verdict(self, contender: str, sent: Tally) -> Verdict:
        """Usage is booked after the answer: it is waited for as long as something is missing."""
        deadline = time.monotonic() + _SECONDS
        while (booked := self.booked()).requests < sent.requests and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return Verdict(contender, str(sent), str(booked))

    def booked(self) -> Tally:
        matching = usage_filter("", "", "", "", None)
        matching.provider = "bench"
        tally = Tally()
        for row in sums(self._billing, matching, ()):
            tally.requests += row.attempts
            tally.cache_hits += row.cache_hits
            tally.input_tokens += row.usage.input_tokens
            tally.output_tokens += row.usage.output_tokens
        return tally


def unbalanced(verdicts: Sequence[Verdict]) -> list[str]:
    return [
        f"{each.contender}: sent {each.sent}; booked {each.booked}" for each in verdicts if not each.balances
    ]
