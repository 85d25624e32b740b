"""Contenders compared in interleaved rounds: A, B, C, A, B, C …"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from bench.lab import Lab
from bench.rounds import Row
from bench.scenarios import Scenario

Tell = Callable[[str], None]


def compare(lab: Lab, scenario: Scenario, rounds: int, seconds: float | None, tell: Tell) -> list[Row]:
    """A row for each contender, those that are absent or lack something included."""
    window = scenario.window if seconds is None else replace(scenario.window, seconds=seconds)
    rows = _rows(lab, scenario)
    taking_part = [row for row in rows if not row.why_not]
    for row in taking_part:
        lab.warm(row.contender, window)
    for number in range(1, rounds + 1):
        for row in taking_part:
            tell(f"{scenario.name}: {row.contender}, round {number} of {rounds}")
            row.rounds.append(lab.round(row.contender, window))
    return rows


def _rows(lab: Lab, scenario: Scenario) -> list[Row]:
    reasons = lab.absent | {
        name: scenario.lacking(dict(member.lacks)) for name, member in lab.members.items()
    }
    return [
        Row(scenario.name, name, why_not=why)
        for name, why in reasons.items()
        if not scenario.contenders or name in scenario.contenders
    ]


def problems(scenario: Scenario, rows: Sequence[Row]) -> list[str]:
    """A hit that reached the upstream was none."""
    if scenario.window.hit_percent < 100:
        return []
    asked = {row.contender: sum(each.upstream_requests for each in row.rounds) for row in rows}
    return [
        f"{scenario.name}: {count} hits of {name} reached the upstream"
        for name, count in asked.items()
        if count
    ]
