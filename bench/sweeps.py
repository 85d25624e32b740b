"""One quantity of the load is varied, or the number of limits, and the cost of a request is watched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from bench.comparison import Tell
from bench.contenders.headgate import Shape
from bench.generator.window import Window
from bench.lab import Lab
from bench.rounds import Row
from bench.scenarios import BY_NAME

_SECONDS = 1.2
UNARY = replace(BY_NAME["unary-miss"].window, seconds=_SECONDS)
STREAM = replace(BY_NAME["stream"].window, seconds=_SECONDS)
LIMITS = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Sweep:
    """`points`: what is varied, with the load. Contenders take turns at each point."""

    name: str
    title: str
    contenders: tuple[str, ...]
    points: Mapping[int, Window]


WINDOW_SWEEPS = (
    Sweep(
        "concurrency",
        "unary, cache miss: requests in flight",
        ("floor", "headgate"),
        {count: replace(UNARY, concurrency=count) for count in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)},
    ),
    Sweep(
        "stream-length",
        "streams at once, 64 in flight: chunks of each",
        ("floor", "headgate"),
        {tokens: replace(STREAM, tokens=tokens) for tokens in (1, 4, 16, 64, 256)},
    ),
)


def vary_window(lab: Lab, sweep: Sweep, rounds: int, tell: Tell) -> list[Row]:
    rows = []
    for x, window in sweep.points.items():
        tell(f"{sweep.name}: {x}")
        rows += measured(lab, sweep.name, [(name, window, x) for name in sweep.contenders], rounds)
    return rows


def limit_shapes() -> list[Shape]:
    return [Shape(f"limits-{count}", limits=count, organizations=1) for count in LIMITS]


def vary_limits(lab: Lab, rounds: int, tell: Tell) -> list[Row]:
    """Limits are declared at the start, so that each number has a Headgate of its own."""
    tell("limits")
    members = [(f"limits-{count}", UNARY, count) for count in LIMITS]
    rows = measured(lab, "limits", members, rounds)
    for row in rows:
        row.contender = "headgate"
    return rows


def measured(lab: Lab, name: str, members: Sequence[tuple[str, Window, int]], rounds: int) -> list[Row]:
    """The members take turns; each has a row."""
    rows = [Row(name, contender, x) for contender, _, x in members]
    for contender, window, _ in members:
        lab.warm(contender, window)
    for _ in range(rounds):
        for row, (contender, window, _x) in zip(rows, members, strict=True):
            row.rounds.append(lab.round(contender, window))
    return rows
