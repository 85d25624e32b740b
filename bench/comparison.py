"""Contenders compared in interleaved rounds: A, B, C, A, B, C …"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from bench.lab import Lab
from bench.rounds import Row
from bench.scenarios import Scenario

Tell = Callable[[str], None]


def compare(lab: Lab, scenario: Scenario, rounds: int, seconds: float | None, tell: Tell) -> list[Row]:
    """A row for each contender, those that are absent or lack something included."""
    rows = [Row(scenario.name, name, why_not=why) for name, why in lab.absent.items()]
    taking_part = []
    for name, member in lab.members.items():
        if scenario.contenders and name not in scenario.contenders:
            continue
        row = Row(scenario.name, name, why_not=scenario.lacking(dict(member.lacks)))
        rows.append(row)
        if not row.why_not:
            taking_part.append(row)
    _measure(lab, scenario, taking_part, rounds, seconds, tell)
    return rows


def _measure(
    lab: Lab, scenario: Scenario, rows: Sequence[Row], rounds: int, seconds: float | None, tell: Tell
) -> None:
    window = scenario.window if seconds is None else replace(scenario.window, seconds=seconds)
    for row in rows:
        lab.warm(row.contender, window)
    for number in range(1, rounds + 1):
        for row in rows:
            tell(f"{scenario.name}: {row.contender}, round {number} of {rounds}")
            row.rounds.append(lab.round(row.contender, window))
