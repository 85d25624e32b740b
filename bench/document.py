"""docs/performance.md: the last figures and charts, and what people wrote about them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import rounds as figures
from bench.charts import TITLES, draw, draw_headline
from bench.frozen import RATE, SECONDS
from bench.goals import FLOOR_MS, GOALS, PEERS, Judged, judge, row_of
from bench.report import Report, load, number
from bench.rounds import BUSY_SHARE, Metric, Row
from bench.scenarios import SCENARIOS

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_HEADLINE = ("unary-miss", "unary-hit", "stream", "paced")
WRITTEN = ("## Where the time goes", "## What each change gained", "## Which gRPC, which Python")
"""Sections that people write; they are carried over from the page as it is."""
_EMPTY = "Not written yet."
_METHOD = f"""\
## What is measured, and how

`make bench` starts Headgate as a user does (four services, `cli.suite`), with embedded stores (`headgate`) and on Redis and
PostgreSQL (`headgate-shared`), and beside it in the same run a bare grpc.aio server that echoes (`floor`), LiteLLM's proxy
with its Redis cache and limits on (same interpreter; its spend is not persisted), and Portkey's gateway (Node; no cache, no
limits, no ledger). `direct` is the model server without a gateway. Authentication, four limits a request (two token buckets,
two sliding windows), the cache, a hold on two budgets, the ledger (usage on disk when acknowledged), metrics and traces (1 % sampled)
are on.

- The model server is `bench/upstream.py`; the load comes from a process of its own in a closed loop. The CPU of neither
  counts. Every answer is compared: text and usage.
- CPU is user and system time of the contender's process trees from `/proc`, stores included, from before the window until
  it is idle again after it (what was answered is still being booked then), divided by the requests.
- Contenders take turns (A, B, C, A, B, C …). A figure is the median of the rounds, with the lowest and the highest beside it.
  Added latency is the difference to `direct` in the same round.
- Rounds in which other processes or machines took more than {BUSY_SHARE:.0%} of the CPU do not count; a row with too few
  quiet rounds is marked as busy.
- Spin is a fixed piece of work in the same interpreter before each window. It tells how fast the machine was then: figures
  of different runs compare by it, and by the floor.
- At its end the ledger of each Headgate is compared with what was sent and what the model server says it served: attempts,
  cache hits, input tokens, output tokens.
- Memory is resident memory; per open stream: what 1,000 open streams add, shared among them.
- Two workers: requests per second over the CPU of the busiest process, because generator and model server share the cores.
"""
_FROZEN = f"""\
## Peers and stores that hang

`python -m bench frozen`: {RATE} requests a second, whatever becomes of those before, on Redis and PostgreSQL. Each peer of the
router and each store is stopped (SIGSTOP) for {SECONDS:g} s and goes on (SIGCONT). The first call waits for its time-out, which opens the
breaker; then the policy for a lost peer holds at once. `recovered`: from SIGCONT until the router asks all its peers again.
"""


def write(*, even_busy: bool) -> list[str]:
    """Writes the page and its charts, unless there are problems; these are returned."""
    names = [scenario.name for scenario in SCENARIOS] + [*TITLES, "memory", "workers", "hops", "frozen"]
    reports = {name: report for name in names if (report := load(name)) is not None}
    problems = [f"{name}: {problem}" for name, report in reports.items() for problem in report.problems]
    if not reports or (problems and not even_busy):
        return problems or ["nothing was measured yet: run `make bench`"]
    charts = PAGE.parent / "performance"
    drawn = [draw(report, charts) for name, report in reports.items() if name in TITLES]
    headline = [reports[name] for name in _HEADLINE if name in reports]
    if headline:
        drawn.insert(0, draw_headline(headline, charts))
    PAGE.write_text(_page(reports, drawn, problems), encoding="utf-8")
    return problems


def _page(reports: Mapping[str, Report], charts: Sequence[Path], problems: Sequence[str]) -> str:
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    parts = [
        "# Performance",
        f"{_origin(reports)}\nMade by `make bench` and `python -m bench document`.",
        _goals(reports),
        _METHOD.rstrip(),
        "## Figures",
        *(
            _scenario(scenario.title, reports[scenario.name])
            for scenario in SCENARIOS
            if scenario.name in reports
        ),
        "## How the cost grows",
        "\n".join(f"![{path.stem}](performance/{path.name})" for path in charts),
        *(_notes(title, reports[name]) for title, name in _NOTED if name in reports),
        *([_frozen(reports["frozen"])] if "frozen" in reports else []),
        *(f"{heading}\n\n{_section(old, heading)}" for heading in WRITTEN),
    ]
    if problems:
        parts.insert(2, "Not to be relied on: " + "; ".join(problems) + ".")
    return "\n\n".join(parts) + "\n"


_NOTED = (("## Memory", "memory"), ("## Two workers", "workers"), ("## One internal hop", "hops"))


def _origin(reports: Mapping[str, Report]) -> str:
    dates = sorted(report.date for report in reports.values())
    commits = sorted({report.commit for report in reports.values()})
    machines = sorted({report.machine for report in reports.values()})
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    return f"{when}; commit {', '.join(commits)}; {'; '.join(machines)}."


def _goals(reports: Mapping[str, Report]) -> str:
    heads = f"| | goal | Headgate | met | {' | '.join(PEERS)} |"
    lines = ["## Goals", "", heads, "|---|---|---|---|" + "---|" * len(PEERS)]
    lines += [_goal(judge(goal, reports)) for goal in GOALS]
    return "\n".join([*lines, *_speed(reports)])


def _speed(reports: Mapping[str, Report]) -> list[str]:
    """The goals are milliseconds of another day; the floor says how fast this one was."""
    report = reports.get("unary-miss")
    row = None if report is None else row_of(report, "floor")
    floor = None if row is None else figures.middle(row, figures.cpu_ms)
    if floor is None:
        return []
    return [
        "",
        f"The goals were set on a machine where the floor takes {FLOOR_MS} ms of CPU a call; here it took {floor:.3f} ms.",
        f"At that speed 0.70 ms are {0.70 * floor / FLOOR_MS:.2f} ms; the other goals of CPU and latency grow alike.",
    ]


def _goal(judged: Judged) -> str:
    goal = judged.goal
    bound = f"{'>=' if goal.least else '<='} {goal.limit:g} {goal.unit}"
    peers = (number(value, 2) or "-" for value in judged.peers)
    value = number(judged.value, 2)
    return f"| {goal.title} | {bound} | {value} | {judged.verdict} | {' | '.join(peers)} |"


_COLUMNS: tuple[tuple[str, Metric, int], ...] = (
    ("user ms", figures.user_ms, 3),
    ("requests/s", figures.throughput, 0),
    ("p50 ms", figures.p50_ms, 2),
    ("p99 ms", figures.p99_ms, 2),
    ("first token ms", figures.first_token_ms, 2),
    ("longest gap ms", figures.longest_gap_ms, 0),
    ("spin ms", figures.spin_ms, 1),
)


def _scenario(title: str, report: Report) -> str:
    heads = [
        "contender",
        "CPU ms",
        "low - high",
        *(name for name, _, _ in _COLUMNS),
        "added p50 / p99 ms",
        "by process",
    ]
    direct = next((row for row in report.rows if row.contender == "direct"), None)
    lines = [f"### {title}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(_line(row, direct) for row in report.rows)])


def _line(row: Row, direct: Row | None) -> str:
    if not row.rounds:
        return f"| {row.contender} | {row.why_not} |" + " |" * (len(_COLUMNS) + 3)
    low, high = figures.extremes(row, figures.cpu_ms)
    base = None if row is direct else direct
    latency = [number(figures.added(row, base, metric), 2) for metric in (figures.p50_ms, figures.p99_ms)]
    shares = ", ".join(
        f"{name} {number(figures.middle(row, figures.service_ms(name)), 3)}" for name in row.rounds[0].cpu
    )
    cells = [
        row.contender + (" (busy)" if row.is_busy else ""),
        number(figures.middle(row, figures.cpu_ms), 3),
        f"{low:.3f} - {high:.3f}",
        *(number(figures.middle(row, metric) or None, digits) for _, metric, digits in _COLUMNS),
        " / ".join(latency) if all(latency) else "",
        shares,
    ]
    return f"| {' | '.join(cells)} |"


def _notes(title: str, report: Report) -> str:
    lines = [title, "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {number(value, 2)} |" for name, value in report.notes.items())])


def _frozen(report: Report) -> str:
    """A row for each peer or store, a column for each of its figures."""
    figures_of: dict[str, dict[str, float]] = {}
    for name, value in report.notes.items():
        peer, _, column = name.partition(", ")
        figures_of.setdefault(peer, {})[column] = value
    columns = list(next(iter(figures_of.values())))
    lines = [_FROZEN, f"| | {' | '.join(columns)} |", "|" + "---|" * (len(columns) + 1)]
    lines += [
        f"| {peer} | {' | '.join(f'{value:,.1f}' for value in measured.values())} |"
        for peer, measured in figures_of.items()
    ]
    return "\n".join(lines)


def _section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next of its rank."""
    _, found, rest = page.partition(f"{heading}\n")
    return rest.partition("\n## ")[0].strip() if found else _EMPTY
