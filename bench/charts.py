"""PNG charts of the reports: small, plain, and readable without colour."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.growth import GROWTHS
from bench.report import Report
from bench.rounds import Row, cpu_ms, extremes, middle
from bench.sweeps import WINDOW_SWEEPS

TITLES = {
    **{sweep.name: sweep.title for sweep in WINDOW_SWEEPS},
    "limits": "limits that bind each request",
    **{growth.name: growth.title for growth in GROWTHS},
}
"""The charts that there are, with what their x is."""
_MARKERS = "os^Dv"
_SIZE = (6.4, 3.2)
_DPI = 90


def draw(report: Report, folder: Path) -> Path:
    """The cost of a request against what was varied; bars from the lowest to the highest round."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for marker, contender in zip(_MARKERS * 2, _contenders(report.rows), strict=False):
        _line(axes, [row for row in report.rows if row.contender == contender and row.rounds], marker)
    axes.set_xscale("log")
    points = sorted({row.x for row in report.rows})
    axes.set_xticks(points, [f"{x:,.0f}" for x in points])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_ylim(bottom=0)
    axes.set_xlabel(TITLES[report.name])
    axes.set_ylabel("CPU of all processes, ms per request")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    return _saved(figure, folder / f"{report.name}.png")


def draw_headline(reports: Sequence[Report], folder: Path) -> Path:
    """The cost of each scenario by contender, on a logarithmic scale."""
    figure = Figure(figsize=(_SIZE[0], 4.2), layout="constrained")
    axes = figure.subplots()
    rows = [row for report in reports for row in report.rows if row.rounds and row.contender != "direct"]
    contenders = _contenders(rows)
    height = 0.8 / max(1, len(contenders))
    for place, contender in enumerate(contenders):
        own = {row.scenario: middle(row, cpu_ms) for row in rows if row.contender == contender}
        spots = [index + place * height for index, report in enumerate(reports) if report.name in own]
        values = [own[report.name] or 0.0 for report in reports if report.name in own]
        bars = axes.barh(spots, values, height, label=contender)
        axes.bar_label(bars, fmt="%.2f", fontsize=6, padding=2)
    axes.set_xscale("log")
    # Room for the last bar's figure.
    axes.margins(x=0.15)
    axes.set_yticks(
        [index + 0.4 - height / 2 for index in range(len(reports))], [each.name for each in reports]
    )
    axes.invert_yaxis()
    axes.set_xlabel("CPU of all processes, ms per request")
    axes.legend(fontsize="small")
    return _saved(figure, folder / "headline.png")


def _line(axes: Axes, rows: Sequence[Row], marker: str) -> None:
    if not rows:
        return
    middles = [middle(row, cpu_ms) or 0.0 for row in rows]
    lows, highs = zip(*(extremes(row, cpu_ms) for row in rows), strict=True)
    below = [value - low for value, low in zip(middles, lows, strict=True)]
    above = [high - value for value, high in zip(middles, highs, strict=True)]
    axes.errorbar(
        [row.x for row in rows],
        middles,
        yerr=[below, above],
        marker=marker,
        capsize=3,
        label=rows[0].contender,
    )


def _contenders(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.contender for row in rows))


def _saved(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a date inside, the same figures give the same file.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path
