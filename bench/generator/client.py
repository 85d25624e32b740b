"""What every client of the generator can do."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bench.generator.window import Window


@dataclass(slots=True)
class Answer:
    """One answer, as far as it is checked. Times are of `time.perf_counter`."""

    text: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    is_hit: bool = False
    messages: int = 0
    first_token_at: float = 0.0
    last_token_at: float = 0.0
    longest_gap: float = 0.0
    parts: list[str] = field(default_factory=list)

    def piece(self, now: float) -> None:
        """A piece of the stream has arrived."""
        if not self.first_token_at:
            self.first_token_at = now
        elif now - self.last_token_at > self.longest_gap:
            self.longest_gap = now - self.last_token_at
        self.last_token_at = now


class WrongAnswerError(Exception):
    """An answer that is not the one that was asked for."""


class Client(Protocol):
    """Speaks one protocol to one address."""

    async def ask(self, prompt: str, key: str, window: Window) -> Answer:
        """:raises WrongAnswerError: the answer is not whole, or is an error"""

    def is_right(self, answer: Answer, prompt: str, window: Window) -> bool:
        """Whether text and usage are what the upstream answers to this prompt."""

    async def close(self) -> None: ...


now: Callable[[], float] = time.perf_counter
