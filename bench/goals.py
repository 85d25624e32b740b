"""What the suite is meant to cost, and whether it does. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.growth import GROWN, SMALL
from bench.report import Report
from bench.rounds import Metric, Row, added, cpu_ms, longest_gap_ms, middle, p50_ms, p99_ms

HEADGATE = "headgate"
PEERS = ("floor", "litellm", "portkey")
FLOOR_MS = 0.277
"""What a bare grpc.aio call cost where the goals were set."""
_PACE_MS = 100.0
Figure = Callable[[Report, str], float | None]
"""Of a contender in a report; None when it is not there."""


@dataclass(frozen=True, slots=True)
class Goal:
    """`least`: the goal is a lower bound."""

    title: str
    limit: float
    unit: str
    report: str
    figure: Figure
    least: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal with the figures of one set of reports."""

    goal: Goal
    value: float | None
    peers: tuple[float | None, ...]
    is_trusted: bool

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        met = "yes" if self.goal.is_met(self.value) else "**no**"
        return met if self.is_trusted else f"{met} (busy machine)"


def judge(goal: Goal, reports: Mapping[str, Report]) -> Judged:
    report = reports.get(goal.report)
    if report is None:
        return Judged(goal, None, (None,) * len(PEERS), is_trusted=True)
    peers = tuple(goal.figure(report, name) for name in PEERS)
    return Judged(goal, goal.figure(report, HEADGATE), peers, is_trusted=not report.problems)


def row_of(report: Report, contender: str) -> Row | None:
    return next((row for row in report.rows if row.contender == contender and row.rounds), None)


def _cost(report: Report, contender: str) -> float | None:
    row = row_of(report, contender)
    return None if row is None else middle(row, cpu_ms)


def _added(metric: Metric) -> Figure:
    def figure(report: Report, contender: str) -> float | None:
        row = row_of(report, contender)
        return None if row is None else added(row, row_of(report, "direct"), metric)

    return figure


def _stall(report: Report, contender: str) -> float | None:
    row = row_of(report, contender)
    return None if row is None else (middle(row, longest_gap_ms) or 0.0) - _PACE_MS


def _note(name: str) -> Figure:
    return lambda report, contender: report.notes.get(name) if contender == HEADGATE else None


def _largest_idle(report: Report, contender: str) -> float | None:
    sizes = [value for name, value in report.notes.items() if name.startswith(f"idle {contender} ")]
    return max(sizes, default=None)


def _growth_percent(report: Report, contender: str) -> float | None:
    """By how much the largest costs more than the small one that was measured beside it."""
    grown = [row for row in report.rows if row.contender == GROWN and row.rounds]
    if contender != HEADGATE or not grown:
        return None
    beside = next(row for row in report.rows if row.contender == SMALL and row.x == grown[-1].x)
    return 100 * ((middle(grown[-1], cpu_ms) or 0.0) / (middle(beside, cpu_ms) or 1.0) - 1)


GOALS = (
    Goal("CPU, unary miss", 0.70, "ms", "unary-miss", _cost),
    Goal("CPU, unary cache hit", 0.40, "ms", "unary-hit", _cost),
    Goal("CPU, stream of 64 chunks at once", 1.2, "ms", "stream", _cost),
    Goal("CPU, 64 chunks 5 ms apart, 100 streams", 4.0, "ms", "paced", _cost),
    Goal("added p50 at 1 in flight, unary miss", 3.0, "ms", "unary-miss-lone", _added(p50_ms)),
    Goal("added p99 at 1 in flight, unary miss", 8.0, "ms", "unary-miss-lone", _added(p99_ms)),
    Goal("memory of the largest idle process", 70, "MB", "memory", _largest_idle),
    Goal("memory per open stream, all services", 64, "KiB", "memory", _note("per open stream")),
    Goal("longest stall of 1,000 paced streams", 100, "ms", "paced-1000", _stall),
    Goal("cost at 100,000 keys beyond 10", 10, "%", "keys", _growth_percent),
    Goal("cost at 1,000,000 ledger rows beyond 10,000", 10, "%", "ledger-rows", _growth_percent),
    Goal("two workers against one", 1.7, "x", "workers", _note("capacity, ratio"), least=True),
)
