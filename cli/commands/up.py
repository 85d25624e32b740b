"""`headgate up`: the four services on this machine, until Ctrl-C."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_DATA_DIR, DataDir
from cli.terminal import echo

if TYPE_CHECKING:
    from cli.installation import Addresses
    from cli.suite.signals import StopSignals
    from cli.suite.suite import Suite

_WATCH_SECONDS = 0.5
_LOG_SECONDS = 0.1


def up(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            exists=True,
            dir_okay=False,
            envvar="HEADGATE_CONFIG",
            help="The installation's YAML file. Default: the provider whose key is set, else the simulator.",
        ),
    ] = None,
    simulator: Annotated[
        bool | None,
        typer.Option("--simulator/--no-simulator", help="Start the simulated model server, or do not."),
    ] = None,
    port_offset: Annotated[
        int, typer.Option("--port-offset", min=0, help="Added to every default port.")
    ] = 0,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Listen on whatever ports are free.")
    ] = False,
    restart_after: Annotated[
        float | None,
        typer.Option(
            "--restart-after",
            min=0,
            metavar="SECONDS",
            help="Start a service that ended again; default: end.",
        ),
    ] = None,
    logs: Annotated[bool, typer.Option("--logs", help="Print the services' logs here, too.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Start the four services on this machine, with embedded stores; Ctrl-C drains and ends them.

    With OPENAI_API_KEY or ANTHROPIC_API_KEY set they use that provider, otherwise a simulated model server is started.
    """
    from cli.suite.signals import StopSignals
    from cli.suite.suite import Suite, SuiteOptions

    options = SuiteOptions(data_dir, config, simulator, port_offset, free_ports)

    def tell(what: str) -> None:
        echo(what, err=True)

    with StopSignals() as signals, Suite(options, os.environ, signals, tell) as suite:
        tell("starting ...")
        addresses = suite.start()
        from cli.suite.first_key import ensure_key

        ensure_key(suite.installation, addresses)
        _print_addresses(suite, addresses, data_dir)
        _watch(suite, signals, restart_after, logs=logs)
        tell("\ndraining; once more ends it at once ...")
        suite.stop()
    tell("stopped")


def _watch(suite: "Suite", signals: "StopSignals", restart_after: float | None, *, logs: bool) -> None:
    from cli.suite.log_tail import LogTails

    tails = LogTails()
    while not signals.count:
        if restart_after is None:
            suite.check()
        else:
            suite.revive(time.monotonic(), restart_after)
        for name, line in tails.new_lines(suite.children) if logs else ():
            echo(f"{name:<10}{line}")
        signals.pause(_LOG_SECONDS if logs else _WATCH_SECONDS)
    tails.close()


def _print_addresses(suite: "Suite", addresses: "Addresses", data_dir: Path) -> None:
    from cli import output

    table = output.table("Service", "gRPC", "Prometheus")
    for name, address in addresses.grpc.items():
        metrics = addresses.metrics.get(name)
        table.add_row(name, address, f"http://{metrics}/metrics" if metrics else "-")
    out = output.stdout()
    out.print(output.styled("\n", ("Headgate is up.", "bold green")))
    out.print(table)
    if addresses.simulator:
        out.print(f"No provider is configured: a simulated model server answers at {addresses.simulator}.")
    out.print(f"Data: {data_dir}   logs: {data_dir / 'logs'}   Ctrl-C ends it.\n")
    for line in _ready_to_paste(suite, addresses, data_dir):
        out.print(line, soft_wrap=True)


def _ready_to_paste(suite: "Suite", addresses: "Addresses", data_dir: Path) -> list[str]:
    where = "" if data_dir == DEFAULT_DATA_DIR else f" --data-dir {data_dir}"
    model = _first_model(suite, addresses)
    body = f'{{"model": "{model}", "prompt": "Why is the sky blue?"}}'
    return [
        f'headgate complete "Why is the sky blue?"{where}',
        f"export HEADGATE_API_KEY=$(cat {data_dir / 'credentials'})",
        f"""grpcurl -plaintext -H "authorization: Bearer $HEADGATE_API_KEY" -d '{body}' \\
  {addresses.grpc["router"]} headgate.router.v1.RouterService/StreamComplete""",
        "",
    ]


def _first_model(suite: "Suite", addresses: "Addresses") -> str:
    from cli.client import connected
    from cli.completions import first_model

    with connected("router", addresses.grpc["router"], suite.installation.api_key({})) as router:
        return first_model(router)
