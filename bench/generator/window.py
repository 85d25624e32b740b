"""What a load generator is asked to do, and what it saw."""

import msgspec


class Target(msgspec.Struct, frozen=True):
    """Whom the load goes to, and as whom."""

    protocol: str
    """`headgate`, `floor` or `openai`."""
    address: str
    path: str = ""
    keys: tuple[str, ...] = ("",)
    headers: dict[str, str] = {}
    connections: int = 1
    """Over gRPC. A connection meets one of several workers."""


class Window(msgspec.Struct, frozen=True):
    """A closed loop with `concurrency` requests in flight, until `seconds` or `requests` are over."""

    streamed: bool
    concurrency: int
    seconds: float
    first: int = 0
    """The number of its first request: prompts of different numbers differ."""
    requests: int = 1_000_000
    tokens: int = 64
    pace_ms: int = 0
    prompt_bytes: int = 200
    hit_percent: int = 0
    pool: int = 64
    """How many prompts the hits are spread over."""
    keys: int = 1
    """How many of the target's keys are used."""
    ramp_seconds: float = 0.0
    """The time over which the first requests begin."""


class Seen(msgspec.Struct):
    """Of one window. Times in microseconds."""

    seconds: float = 0.0
    requests: int = 0
    cache_hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    messages: int = 0
    errors: int = 0
    first_error: str = ""
    latencies_us: list[int] = []
    first_tokens_us: list[int] = []
    longest_gap_us: int = 0
    """Between two neighbouring pieces of any one stream."""

    def add(self, other: "Seen") -> None:
        """Another generator's share of the same window."""
        self.seconds = max(self.seconds, other.seconds)
        for name in ("requests", "cache_hits", "input_tokens", "output_tokens", "messages", "errors"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.first_error = self.first_error or other.first_error
        self.latencies_us += other.latencies_us
        self.first_tokens_us += other.first_tokens_us
        self.longest_gap_us = max(self.longest_gap_us, other.longest_gap_us)
