"""The commands of `python -m bench`."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import typer
from rich.console import Console

from bench import report as reports
from bench.comparison import compare
from bench.contenders.contender import Contender
from bench.contenders.headgate import Shape, headgate
from bench.contenders.litellm import LITELLM
from bench.contenders.portkey import PORTKEY
from bench.contenders.simple import DIRECT, FLOOR
from bench.lab import Lab
from bench.ledger import unbalanced
from bench.report import Report
from bench.scenarios import SCENARIOS, Scenario
from cli.suite.signals import StopSignals

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
console = Console(width=200)
Rounds = Annotated[int, typer.Option(min=1, help="Rounds of each contender; the median counts.")]
Seconds = Annotated[float | None, typer.Option(help="Length of a window, instead of the scenario's own.")]
Only = Annotated[list[str] | None, typer.Option("--only", help="Only these contenders.")]


def contenders(signals: StopSignals, only: Sequence[str] | None) -> list[Contender]:
    known = [
        DIRECT,
        FLOOR,
        headgate(signals, Shape()),
        headgate(signals, Shape("headgate-shared", is_shared=True)),
        LITELLM,
        PORTKEY,
    ]
    return [each for each in known if not only or each.name in only]


@contextmanager
def opened(chosen: Callable[[StopSignals], Sequence[Contender]], generators: int = 1) -> Iterator[Lab]:
    """A lab in a folder of its own, which is removed unless something goes wrong."""
    reports.OUT.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix="run-", dir=reports.OUT))
    with StopSignals(interrupting=True) as signals:
        console.print("[dim]starting ...", highlight=False)
        with Lab.open(chosen(signals), folder, generators) as lab:
            yield lab
    shutil.rmtree(folder, ignore_errors=True)


def tell(what: str) -> None:
    console.print(f"[dim]{what}", highlight=False)


def finish(report: Report, lab: Lab) -> None:
    """Check the books, show and keep the report."""
    verdicts = lab.verdicts()
    report.problems += [*reports.problems_of(report.rows), *unbalanced(verdicts)]
    for each in verdicts:
        tell(
            f"ledger of {each.contender}: {'balances' if each.balances else 'DOES NOT BALANCE'}: {each.booked}"
        )
    for problem in report.problems:
        console.print(f"[red]{problem}", highlight=False)
    console.print(f"[dim]{reports.save(report)}", highlight=False)


def run_scenarios(
    chosen: Sequence[Scenario], rounds: int, seconds: float | None, only: Sequence[str] | None
) -> list[Report]:
    made = []
    with opened(lambda signals: contenders(signals, only)) as lab:
        for scenario in chosen:
            report = reports.new_report(scenario.name)
            report.rows = compare(lab, scenario, rounds, seconds, tell)
            console.print(reports.table(report.rows, scenario.title))
            console.print(reports.services_table(report.rows))
            made.append(report)
            finish(report, lab)
    return made


def _add(scenario: Scenario) -> None:
    @app.command(scenario.name, help=scenario.title)
    def run(rounds: Rounds = 3, seconds: Seconds = None, only: Only = None) -> None:
        run_scenarios([scenario], rounds, seconds, only)


for _scenario in SCENARIOS:
    _add(_scenario)


@app.command(help="All scenarios in which contenders are compared, with the contenders started once.")
def scenarios(rounds: Rounds = 3, seconds: Seconds = None, only: Only = None) -> None:
    run_scenarios(SCENARIOS, rounds, seconds, only)
