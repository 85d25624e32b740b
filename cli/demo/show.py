"""The demonstration from start to end: a suite in a temporary folder, its steps, and nothing left behind."""

import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.request import Request

from rich.console import Console

from cli import local_http, output, usage_report
from cli.client import connected
from cli.completions import first_model
from cli.demo import activity
from cli.demo.steps import PROMPT, Demonstration, check
from cli.installation import SERVICES, Addresses
from cli.suite.first_key import ensure_key
from cli.suite.signals import StopSignals
from cli.suite.suite import Suite, SuiteOptions

# So that tokens can be seen coming; a model server of one's own takes its own time.
_PACE = {"ttft": "150ms", "gap": "15ms"}
_SIMULATED_MODEL = "sim-small"
_TIMEOUT_SECONDS = 5.0


def run(environ: Mapping[str, str] = os.environ) -> None:
    """:raises CommandError: a step did not show what it should"""
    began, out = time.monotonic(), output.stdout()
    with (
        tempfile.TemporaryDirectory(prefix="headgate-demo-") as folder,
        StopSignals(interrupting=True) as signals,
        Suite(
            SuiteOptions(Path(folder), free_ports=True), _own_environment(environ), signals, out.print
        ) as suite,
    ):
        out.print(
            output.styled(
                ("Headgate", "bold"),
                ": starting four services, each a process of its own, with embedded stores\n",
            )
        )
        addresses = suite.start()
        _introduce(out, suite, addresses)
        _steps(out, suite, addresses)
        suite.stop()
        codes = suite.exit_codes
        check(not any(codes.values()), f"every process ends by itself when it is asked to, but: {codes}")
    seconds = time.monotonic() - began
    ended = f" in {seconds:.1f} s. {len(codes)} processes were started, and all have ended."
    out.print(output.styled("\n", ("Done", "bold green"), ended))


def _own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Without Headgate's variables: the demo must not touch the stores of a real installation."""
    return {name: value for name, value in environ.items() if not name.startswith("HEADGATE_")}


def _introduce(out: Console, suite: Suite, addresses: Addresses) -> None:
    for name, child in suite.children.items():
        where = addresses.simulator if name == "simulator" else addresses.grpc[name]
        out.print(output.styled(f"  {name:<10} ", ("process", "dim"), f" {child.pid:<8} {where}"))


def _steps(out: Console, suite: Suite, addresses: Addresses) -> None:
    api_key = ensure_key(suite.installation, addresses)
    with connected("router", addresses.grpc["router"], api_key) as router:
        model = _SIMULATED_MODEL if addresses.simulator else first_model(router)
    token = suite.installation.internal_token({})
    if addresses.simulator:
        _pace(addresses.simulator)
    with Demonstration(addresses, api_key, token, model) as demonstration:
        # One stream in one order, also where standard error goes elsewhere.
        _step(out, 1, f"A completion by {model}, streamed as it is produced")
        out.print(PROMPT, style="italic")
        demonstration.stream(out, out)
        _step(out, 2, "The same request again: the cache answers, at no cost")
        demonstration.repeat(out, out)
        _step(out, 3, "A guest whose key may ask twice in 30 seconds asks three times")
        refusal = demonstration.trip_limit(out, out)
        out.print(output.styled(("refused:", "red"), f" {refusal}"), soft_wrap=True)
        _step(out, 4, "The ledger: every answer is one row")
        out.print(usage_report.EntryReport(demonstration.ledger()).table())
    _step(out, 5, "What each service did")
    _show_activity(out, suite, addresses)


def _step(out: Console, number: int, title: str) -> None:
    out.print(output.styled("\n", (str(number), "bold cyan"), (f" {title}", "bold")))


def _show_activity(out: Console, suite: Suite, addresses: Addresses) -> None:
    check(set(addresses.metrics) == set(SERVICES), "every service has a Prometheus endpoint")
    activities = {name: activity.read_activity(addresses.metrics[name]) for name in SERVICES}
    for name, done in activities.items():
        check(sum(done.calls.values()) > 0, f"{name} served calls")
    out.print(activity.table(suite.children, activities))


def _pace(simulator: str) -> None:
    body = json.dumps({"faults": _PACE, "count": None}).encode()
    request = Request(f"{simulator}/control/faults", body, {"Content-Type": "application/json"})  # noqa: S310
    local_http.fetch(request, _TIMEOUT_SECONDS)
