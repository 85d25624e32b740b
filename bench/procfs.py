"""CPU time and memory of process trees and of the whole machine, from /proc."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_SPINS = 200_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU."""

    user: float = 0.0
    system: float = 0.0

    @property
    def total(self) -> float:
        return self.user + self.system

    def __add__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user + other.user, self.system + other.system)

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user - other.user, self.system - other.system)


@dataclass(frozen=True, slots=True)
class Machine:
    """What all processes had since boot, in seconds of CPU. `stolen`: taken by other virtual machines."""

    at: float
    busy: float
    stolen: float


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    own: Cpu
    reaped: Cpu


def machine() -> Machine:
    fields = (_PROC / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq, stolen = (int(field) / _TICKS for field in fields[:8])
    return Machine(time.monotonic(), user + nice + system + irq + softirq, stolen)


def spin_ms() -> float:
    """CPU time of a fixed piece of work: how fast this machine is now, whoever shares its cores and caches."""
    began = time.thread_time()
    total = 0
    for number in range(_SPINS):
        total += number & 7
    return (time.thread_time() - began) * 1000


def tree(root: int, stats: Mapping[int, _Stat] | None = None) -> list[int]:
    """The process and all that descend from it."""
    stats = _stats() if stats is None else stats
    found = [root] if root in stats else []
    for pid in found:
        found += [child for child, stat in stats.items() if stat.parent == pid]
    return found


def cpu(roots: Iterable[int]) -> dict[int, Cpu]:
    """CPU of each tree, ended children that were waited for included."""
    stats = _stats()
    used = {}
    for root in roots:
        total = Cpu()
        for pid in tree(root, stats):
            total += stats[pid].own + stats[pid].reaped
        used[root] = total
    return used


def cpu_of_each(root: int) -> dict[int, Cpu]:
    """CPU of each process of one tree."""
    stats = _stats()
    return {pid: stats[pid].own for pid in tree(root, stats)}


def resident_bytes(root: int) -> int:
    total = 0
    for pid in tree(root):
        try:
            total += int((_PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1]) * _PAGE
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def _stats() -> dict[int, _Stat]:
    found = {}
    for entry in os.listdir(_PROC):  # noqa: PTH208 - names are enough, and this is on the way of every window
        if not entry.isdigit():
            continue
        try:
            text = (_PROC / entry / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = text.rpartition(")")[2].split()
        user, system, reaped_user, reaped_system = (int(field) / _TICKS for field in fields[11:15])
        found[int(entry)] = _Stat(int(fields[1]), Cpu(user, system), Cpu(reaped_user, reaped_system))
    return found
