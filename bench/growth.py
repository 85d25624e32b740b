"""A Headgate grows while a small one is measured beside it: what accumulates over years must not cost a request more."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from msgspec.structs import replace

from bench.comparison import Tell
from bench.contenders.contender import Access
from bench.contenders.headgate import Shape
from bench.contenders.headgate_config import organization
from bench.generator.window import Window
from bench.lab import Lab
from bench.rounds import Row
from bench.seeds import add_cache_entries, add_keys, add_ledger_rows
from bench.sweeps import UNARY, measured

GROWN, SMALL, COLD = "grown", "small", "each another key"
_USED_KEYS = 100


@dataclass(frozen=True, slots=True)
class Growth:
    """`grow` adds so many to a contender; the small one stays at the first of `sizes`."""

    name: str
    title: str
    sizes: tuple[int, ...]
    grow: Callable[[Lab, str, int], None]


def shapes() -> list[Shape]:
    return [Shape(name, organizations=1) for name in (GROWN, SMALL)]


def vary_size(lab: Lab, growth: Growth, rounds: int, tell: Tell) -> list[Row]:
    first = growth.sizes[0]
    growth.grow(lab, SMALL, first)
    rows = []
    for before, size in pairwise((0, *growth.sizes)):
        tell(f"{growth.name}: {size:,}")
        growth.grow(lab, GROWN, size - before)
        members = [(SMALL, _window(first), size), (GROWN, _window(size), size)]
        rows += measured(lab, growth.name, members, rounds)
    return rows


def cold_keys(lab: Lab, growth: Growth, rounds: int, tell: Tell) -> list[Row]:
    """Every request with a key that the router does not know yet: the worst that many keys can do."""
    tell(f"{growth.name}: {COLD}")
    size = growth.sizes[-1]
    rows = measured(lab, growth.name, [(GROWN, replace(UNARY, keys=size), size)], rounds)
    for row in rows:
        row.contender = COLD
    return rows


def _window(size: int) -> Window:
    return replace(UNARY, keys=min(size, _USED_KEYS))


def _access(lab: Lab, name: str) -> Access:
    access = lab.members[name].running.access
    if access is None:
        raise TypeError(f"{name} is no Headgate")
    return access


def _add_keys(lab: Lab, name: str, count: int) -> None:
    known = lab.members[name].running.target.keys
    lab.retarget(name, (*known, *add_keys(_access(lab, name), count, organization(0))))


GROWTHS = (
    Growth("keys", "API keys that exist, 100 of them in use", (10, 100, 1_000, 10_000, 100_000), _add_keys),
    Growth(
        "ledger-rows",
        "rows in the ledger",
        (10_000, 100_000, 1_000_000),
        lambda lab, name, count: add_ledger_rows(_access(lab, name), count),
    ),
    Growth(
        "cache-entries",
        "answers in the cache",
        (100, 1_000, 10_000, 100_000),
        lambda lab, name, count: add_cache_entries(_access(lab, name), count),
    ),
)
