"""One measured window as a record, and what several of them say together. Pure."""

from collections.abc import Callable, Sequence
from statistics import median

import msgspec

BUSY_SHARE = 0.10
"""Above this share of the machine's CPU, taken by other processes or other machines, a round does not count."""


class Round(msgspec.Struct):
    """One window of one contender. CPU in seconds, as user and system."""

    requests: int
    seconds: float
    cpu: dict[str, tuple[float, float]]
    """Of each of its services and stores."""
    busiest_process: float
    """CPU of the process that used most."""
    generator_cpu: float
    upstream_cpu: float
    foreign_share: float
    """Of the machine's CPU, used by processes that are not the benchmark's."""
    stolen_share: float
    spin_ms: float = 0.0
    """What a fixed piece of work took before the window: the machine's speed at that time."""
    p50_us: int = 0
    p99_us: int = 0
    first_token_p50_us: int = 0
    first_token_p99_us: int = 0
    longest_gap_us: int = 0
    messages: int = 0
    cache_hits: int = 0
    upstream_requests: int = 0
    errors: int = 0
    first_error: str = ""

    @property
    def is_quiet(self) -> bool:
        return self.foreign_share <= BUSY_SHARE and self.stolen_share <= BUSY_SHARE


class Row(msgspec.Struct):
    """All rounds of one contender in one scenario. `x`: the varied quantity, where one is varied."""

    scenario: str
    contender: str
    x: float = 0.0
    rounds: list[Round] = []
    why_not: str = ""
    """Why there are none."""

    @property
    def counted(self) -> list[Round]:
        """The quiet rounds; all, when none was quiet."""
        return [each for each in self.rounds if each.is_quiet] or self.rounds

    @property
    def is_busy(self) -> bool:
        """Whether too few rounds were quiet for the figures to be trusted."""
        return 2 * sum(each.is_quiet for each in self.rounds) < len(self.rounds)

    @property
    def is_wrong(self) -> bool:
        return any(each.errors for each in self.rounds)


Metric = Callable[[Round], float]


def cpu_ms(each: Round) -> float:
    """CPU of all its processes, per request."""
    return 1000 * sum(user + system for user, system in each.cpu.values()) / max(1, each.requests)


def user_ms(each: Round) -> float:
    return 1000 * sum(user for user, _ in each.cpu.values()) / max(1, each.requests)


def service_ms(service: str) -> Metric:
    return lambda each: 1000 * sum(each.cpu.get(service, (0.0, 0.0))) / max(1, each.requests)


def spin_ms(each: Round) -> float:
    return each.spin_ms


def throughput(each: Round) -> float:
    return each.requests / each.seconds


def p50_ms(each: Round) -> float:
    return each.p50_us / 1000


def p99_ms(each: Round) -> float:
    return each.p99_us / 1000


def first_token_ms(each: Round) -> float:
    return each.first_token_p50_us / 1000


def longest_gap_ms(each: Round) -> float:
    return each.longest_gap_us / 1000


def middle(row: Row, metric: Metric) -> float | None:
    """The median of the rounds that count."""
    return median(map(metric, row.counted)) if row.rounds else None


def extremes(row: Row, metric: Metric) -> tuple[float, float]:
    values = [metric(each) for each in row.counted]
    return min(values), max(values)


def added(row: Row, base: Row | None, metric: Metric) -> float | None:
    """The median over the rounds of what it takes beyond `base` in the same round."""
    if base is None or not row.rounds or not base.rounds:
        return None
    return median(metric(own) - metric(other) for own, other in zip(row.rounds, base.rounds, strict=False))


def ratios(row: Row, base: Row, metric: Metric) -> list[float]:
    """What it takes over what `base` takes in the same round, lowest first; a slow machine slows both."""
    return sorted(metric(own) / metric(other) for own, other in zip(row.rounds, base.rounds, strict=True))


def percentile(ordered: Sequence[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0
