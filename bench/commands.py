"""The commands of `python -m bench`."""

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Annotated

import typer
from rich.console import Console

from bench import (
    against,
    checkpoints,
    comparison,
    endurance,
    footprint,
    frozen,
    growth,
    hops,
    hostile,
    instructions,
    profiling,
    scaling,
    wrong_keys,
)
from bench import report as reports
from bench.comparison import compare
from bench.contenders import litellm, portkey
from bench.contenders.checkout import checkout
from bench.contenders.contender import AbsentError, Contender
from bench.contenders.headgate import Shape, headgate
from bench.contenders.simple import DIRECT, FLOOR
from bench.growth import GROWTHS, Growth
from bench.lab import Lab
from bench.ledger import unbalanced
from bench.report import Report
from bench.scenarios import BY_NAME, SCENARIOS, Scenario
from bench.sweeps import WINDOW_SWEEPS, Sweep, limit_shapes, vary_limits, vary_window
from cli.suite.signals import StopSignals

app = typer.Typer(
    add_completion=False, pretty_exceptions_show_locals=False, no_args_is_help=True, help=__doc__
)
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
        litellm.LITELLM,
        portkey.PORTKEY,
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


def show(report: Report, title: str) -> None:
    if report.rows:
        console.print(reports.table(report.rows, title))
        console.print(reports.services_table(report.rows))
    for name, value in report.notes.items():
        console.print(f"{name}: {value:,.3f}", highlight=False)


def run_scenarios(
    chosen: Sequence[Scenario], rounds: int, seconds: float | None, only: Sequence[str] | None
) -> None:
    with opened(lambda signals: contenders(signals, only)) as lab:
        for scenario in chosen:
            report = reports.new_report(scenario.name)
            report.rows = compare(lab, scenario, rounds, seconds, tell)
            report.problems = comparison.problems(scenario, report.rows)
            show(report, scenario.title)
            finish(report, lab)


def run_window_sweeps(chosen: Sequence[Sweep], rounds: int) -> None:
    with opened(lambda signals: [FLOOR, headgate(signals, Shape())]) as lab:
        for sweep in chosen:
            report = reports.new_report(sweep.name)
            report.rows = vary_window(lab, sweep, rounds, tell)
            show(report, sweep.title)
            finish(report, lab)


def run_growth(which: Growth, rounds: int) -> None:
    with opened(lambda signals: [headgate(signals, shape) for shape in growth.shapes()]) as lab:
        report = reports.new_report(which.name)
        report.rows = growth.vary_size(lab, which, rounds, tell)
        if which.name == "keys":
            report.rows += growth.cold_keys(lab, which, rounds, tell)
        show(report, which.title)
        finish(report, lab)


def _add_scenario(scenario: Scenario) -> None:
    @app.command(scenario.name, help=scenario.title)
    def run(rounds: Rounds = 3, seconds: Seconds = None, only: Only = None) -> None:
        run_scenarios([scenario], rounds, seconds, only)


def _add_sweep(sweep: Sweep) -> None:
    @app.command(sweep.name, help=sweep.title)
    def run(rounds: Rounds = 2) -> None:
        run_window_sweeps([sweep], rounds)


def _add_growth(which: Growth) -> None:
    @app.command(which.name, help=f"flat cost: {which.title}")
    def run(rounds: Rounds = 3) -> None:
        run_growth(which, rounds)


for _scenario in SCENARIOS:
    _add_scenario(_scenario)
for _sweep in WINDOW_SWEEPS:
    _add_sweep(_sweep)
for _growth in GROWTHS:
    _add_growth(_growth)


@app.command(help="flat cost: limits that bind each request")
def limits(rounds: Rounds = 3) -> None:
    with opened(lambda signals: [headgate(signals, shape) for shape in limit_shapes()]) as lab:
        report = reports.new_report("limits")
        report.rows = vary_limits(lab, rounds, tell)
        show(report, "limits that bind each request")
        finish(report, lab)


@app.command(help=footprint.__doc__)
def memory() -> None:
    with opened(lambda signals: [headgate(signals, Shape()), litellm.LITELLM, portkey.PORTKEY]) as lab:
        report = reports.new_report("memory")
        report.notes = footprint.footprints(lab, "headgate", tell)
        show(report, "memory")
        finish(report, lab)


@app.command("checkpoints", help=checkpoints.__doc__)
def of_checkpoints() -> None:
    checkpoints.microseconds(tell)


@app.command(help=scaling.__doc__)
def workers(rounds: Rounds = 3) -> None:
    with opened(
        lambda signals: [headgate(signals, shape) for shape in scaling.shapes()], scaling.GENERATORS
    ) as lab:
        report = reports.new_report("workers")
        report.rows = scaling.compare_workers(lab, rounds, tell)
        if len(report.rows) == 2:
            report.notes = scaling.notes(*report.rows)
        show(report, "two workers against one")
        finish(report, lab)


@app.command("against", help=against.__doc__)
def against_checkout(
    other: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The other checkout.")],
    only_scenario: Annotated[
        list[str] | None, typer.Option("--only-scenario", help="Only these scenarios.")
    ] = None,
    rounds: Rounds = 5,
    seconds: Seconds = None,
) -> None:
    chosen = [BY_NAME[name] for name in only_scenario] if only_scenario else SCENARIOS
    with opened(lambda signals: [headgate(signals, Shape()), checkout(other)]) as lab:
        for scenario in chosen:
            report = against.compare_with(lab, scenario, rounds, seconds, tell)
            show(report, f"{scenario.title}, against {other}")
            finish(report, lab)


@app.command("instructions", help=instructions.__doc__)
def count_instructions(
    interpreter: Annotated[
        list[Path] | None, typer.Option(help="The bare server on these, each with its own grpcio.")
    ] = None,
    router: Annotated[
        list[Path] | None, typer.Option(help="The routers of these checkouts with their own .venv.")
    ] = None,
) -> None:
    report = reports.new_report("instructions")
    floors = interpreter or ([] if router else [Path(sys.executable)])
    for counted, measure in ((floors, instructions.of_floor), (router or [], instructions.of_router)):
        for each in counted:
            try:
                with TemporaryDirectory() as folder:
                    report.notes |= measure(each, Path(folder), tell)
            except (AbsentError, instructions.WrongAnswersError) as error:
                report.problems.append(str(error))
                console.print(f"[red]{error}", highlight=False)
    show(report, "thousands of instructions per call")
    console.print(f"[dim]{reports.save(report)}", highlight=False)


@app.command("hops", help=hops.__doc__)
def internal_hops(rounds: Rounds = 3) -> None:
    reports.OUT.mkdir(parents=True, exist_ok=True)
    report = reports.new_report("hops")
    report.notes = hops.notes(hops.measure(reports.OUT, rounds, tell))
    show(report, "internal hops")
    console.print(f"[dim]{reports.save(report)}", highlight=False)


@app.command("frozen", help=frozen.__doc__)
def frozen_peers(
    seconds: Annotated[float, typer.Option(min=2, help="How long each is stopped.")] = frozen.SECONDS,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only these peers and stores.")] = None,
) -> None:
    # Without budgets: while billing is lost, a hard one refuses, as it should.
    shape = Shape("headgate-shared", is_shared=True, budgets=0)
    with opened(lambda signals: [headgate(signals, shape)]) as lab:
        report = reports.new_report("frozen")
        seen = frozen.freeze_each(lab, shape.name, only or frozen.FROZEN, seconds, tell)
        report.notes, report.problems = frozen.notes(seen), frozen.problems(seen)
        show(report, "peers and stores that hang")
        finish(report, lab)


@app.command("hostile", help=hostile.__doc__)
def hostile_requests() -> None:
    with opened(lambda signals: [headgate(signals, Shape(organizations=2))]) as lab:
        report = reports.new_report("hostile")
        attacks = hostile.attack_each(lab.members["headgate"].running, tell)
        report.notes, report.problems = hostile.notes(attacks), hostile.problems(attacks)
        show(report, "hostile requests")
        finish(report, lab)


@app.command("wrong-keys", help=wrong_keys.__doc__)
def flood_of_wrong_keys() -> None:
    with opened(lambda signals: [headgate(signals, Shape(organizations=2))]) as lab:
        report = reports.new_report("wrong-keys")
        floods = wrong_keys.flood_each(lab.members["headgate"].running, tell)
        report.notes, report.problems = wrong_keys.notes(floods), wrong_keys.problems(floods)
        report.notes |= asyncio.run(endurance.endure())
        show(report, "wrong keys")
        finish(report, lab)


@app.command(help=profiling.__doc__)
def profile(
    scenario: Annotated[str, typer.Argument(help="One of the scenarios.")] = "unary-miss",
    seconds: Annotated[int, typer.Option(help="How long is recorded.")] = 10,
) -> None:
    with opened(lambda signals: [headgate(signals, Shape())]) as lab:
        folder = reports.OUT / f"profile-{scenario}"
        folder.mkdir(parents=True, exist_ok=True)
        text = profiling.profile(lab, "headgate", BY_NAME[scenario].window, seconds, folder)
    (folder / "top.txt").write_text(text + "\n", encoding="utf-8")
    print(text)


@app.command("document", help="The last figures and charts into docs/performance.md.")
def write_document(
    even_busy: Annotated[
        bool, typer.Option("--even-busy", help="Even with problems, which it then states.")
    ] = False,
) -> None:
    from bench import document

    problems = document.write(even_busy=even_busy)
    for problem in problems:
        console.print(f"[red]{problem}", highlight=False)
    if problems and not even_busy:
        raise typer.Exit(1)


@app.command("install-peers", help="LiteLLM and Portkey's gateway into bench/out/peers, once.")
def install_peers() -> None:
    litellm.install()
    portkey.install()


@app.command("scenarios", help="All comparisons of contenders, which are started once.")
def all_scenarios(rounds: Rounds = 3, seconds: Seconds = None, only: Only = None) -> None:
    run_scenarios(SCENARIOS, rounds, seconds, only)


@app.command("all", help="Everything that docs/performance.md shows.")
def everything(rounds: Rounds = 2, sweep_rounds: Rounds = 2) -> None:
    run_scenarios(SCENARIOS, rounds, None, None)
    run_window_sweeps(WINDOW_SWEEPS, sweep_rounds)
    limits(sweep_rounds)
    for which in GROWTHS:
        run_growth(which, sweep_rounds)
    memory()
    workers(rounds)
    internal_hops(sweep_rounds)
