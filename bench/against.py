"""Headgate beside that of another checkout with its own .venv: both CPUs per request, and their ratio in each round."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from bench import report as reports
from bench.comparison import Tell, compare
from bench.contenders.checkout import AGAINST
from bench.lab import Lab
from bench.report import Report
from bench.rounds import Row, cpu_ms, middle, ratios
from bench.scenarios import Scenario

HERE = "headgate"


def compare_with(lab: Lab, scenario: Scenario, rounds: int, seconds: float | None, tell: Tell) -> Report:
    report = reports.new_report(f"{AGAINST}-{scenario.name}")
    report.rows = compare(lab, replace(scenario, contenders=(HERE, AGAINST)), rounds, seconds, tell)
    report.notes = notes(report.rows)
    return report


def notes(rows: Sequence[Row]) -> dict[str, float]:
    """Below 1: less here than there. Nothing, when one of the two could not be measured."""
    by_name = {row.contender: row for row in rows}
    here, there = by_name[HERE], by_name[AGAINST]
    if not here.rounds or not there.rounds:
        return {}
    ratio = ratios(here, there, cpu_ms)
    return {
        "CPU ms here": middle(here, cpu_ms) or 0.0,
        "CPU ms there": middle(there, cpu_ms) or 0.0,
        "here / there": median(ratio),
        "lowest": ratio[0],
        "highest": ratio[-1],
    }
