"""Two workers of each service against one, on Redis and PostgreSQL."""

from msgspec.structs import replace

from bench.comparison import Tell
from bench.contenders.headgate import Shape
from bench.lab import Lab
from bench.rounds import Round, Row, cpu_ms, middle, throughput
from bench.sweeps import UNARY, measured

ONE, TWO = "one-worker", "two-workers"
GENERATORS = 2
_IN_FLIGHT = 128
_CONNECTIONS = 4


def shapes() -> list[Shape]:
    return [
        Shape(name, is_shared=True, workers=workers, connections=_CONNECTIONS)
        for name, workers in ((ONE, 1), (TWO, 2))
    ]


def compare_workers(lab: Lab, rounds: int, tell: Tell) -> list[Row]:
    tell("workers")
    # Keys and connections decide which worker a request meets: many of both.
    window = replace(UNARY, concurrency=_IN_FLIGHT, keys=50, seconds=2.5)
    return measured(lab, "workers", [(ONE, window, 1), (TWO, window, 2)], rounds)


def notes(one: Row, two: Row) -> dict[str, float]:
    """`capacity`: requests per second that the busiest process allows, when no other program takes its core."""
    made: dict[str, float] = {}
    for name, metric in (("throughput", throughput), ("capacity", capacity), ("CPU ms", cpu_ms)):
        before, after = middle(one, metric), middle(two, metric)
        if before and after:
            made |= {f"{name}, {ONE}": before, f"{name}, {TWO}": after, f"{name}, ratio": after / before}
    return made


def capacity(each: Round) -> float:
    return each.requests / max(each.busiest_process, 0.01)
