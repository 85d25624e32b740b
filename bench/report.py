"""What a run found, as a file and as a table."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.table import Table

from bench import rounds as figures
from bench.rounds import Row

OUT = Path(__file__).parent / "out"
_ROOT = Path(__file__).parents[1]


class Report(msgspec.Struct):
    """One run of one command."""

    name: str
    date: str
    commit: str
    machine: str
    rows: list[Row] = []
    problems: list[str] = []
    """What must not be passed over: books that do not balance, wrong answers, a busy machine."""
    notes: dict[str, float] = {}
    """Single figures by name."""


def new_report(name: str) -> Report:
    return Report(name, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", _commit(), _machine())


def save(report: Report) -> Path:
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{report.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    return path


def load(name: str) -> Report | None:
    path = OUT / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=Report) if path.exists() else None


def problems_of(rows: list[Row]) -> list[str]:
    found = [
        f"{row.scenario}, {row.contender}: {each.errors} errors, the first: {each.first_error}"
        for row in rows
        for each in row.rounds
        if each.errors
    ]
    busy = [f"{row.contender}{f' {row.x:g}' if row.x else ''}" for row in rows if row.rounds and row.is_busy]
    return [*found, *([f"the machine was too busy for {', '.join(busy)}"] if busy else [])]


def table(rows: list[Row], title: str = "") -> Table:
    made = Table(title=title, title_justify="left")
    headings = (
        "contender",
        "x",
        "CPU ms",
        "low-high",
        "user",
        "req/s",
        "p50 ms",
        "p99 ms",
        "+p50",
        "+p99",
        "1st token",
        "gap ms",
        "foreign",
        "spin",
        "",
    )
    for heading in headings:
        made.add_column(heading, justify="left" if heading in {"contender", ""} else "right")
    direct = {(row.scenario, row.x): row for row in rows if row.contender == "direct"}
    for row in rows:
        made.add_row(*_cells(row, direct.get((row.scenario, row.x))))
    return made


def _cells(row: Row, direct: Row | None) -> list[str]:
    x = f"{row.x:g}" if row.x else ""
    if not row.rounds:
        return [row.contender, x, *[""] * 12, row.why_not]
    low, high = figures.extremes(row, figures.cpu_ms)
    base = None if direct is row else direct
    foreign = max(each.foreign_share + each.stolen_share for each in row.counted)
    return [
        row.contender,
        x,
        number(figures.middle(row, figures.cpu_ms), 3),
        f"{low:.3f}-{high:.3f}",
        number(figures.middle(row, figures.user_ms), 3),
        number(figures.middle(row, figures.throughput), 0),
        number(figures.middle(row, figures.p50_ms), 2),
        number(figures.middle(row, figures.p99_ms), 2),
        number(figures.added(row, base, figures.p50_ms), 2),
        number(figures.added(row, base, figures.p99_ms), 2),
        number(figures.middle(row, figures.first_token_ms) or None, 2),
        number(figures.middle(row, figures.longest_gap_ms) or None, 0),
        f"{foreign:.0%}",
        number(figures.middle(row, figures.spin_ms), 1),
        " ".join(word for word, applies in (("busy", row.is_busy), ("WRONG", row.is_wrong)) if applies),
    ]


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def services_table(rows: list[Row]) -> Table:
    """Where the CPU of each contender went."""
    made = Table("contender", "CPU ms per request, by process", title_justify="left")
    for row in rows:
        if row.rounds and row.rounds[0].cpu:
            parts = (
                f"{name} {number(figures.middle(row, figures.service_ms(name)), 3)}"
                for name in row.rounds[0].cpu
            )
            made.add_row(row.contender, ", ".join(parts))
    return made


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "services", "gen")
    return git("rev-parse", "--short=12", "HEAD") + (", with uncommitted changes" if changed else "")


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} x {models[0] if models else platform.machine()}, {memory:.0f} GiB, "
        f"Linux {platform.release()}, CPython {platform.python_version()} ({platform.python_compiler()})"
    )
