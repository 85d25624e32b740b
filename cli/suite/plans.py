"""The processes of a suite, each with the variables that it needs. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cli.installation import SERVICES
from cli.options import COMMAND_VARIABLES
from cli.suite.child import ChildPlan
from cli.suite.ports import Listens

PEERS = ("cache", "ratelimit", "billing")


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What a service may see of the user's environment: not the variables that only commands read."""
    return {name: value for name, value in environ.items() if name not in COMMAND_VARIABLES}


def service_plan(
    service: str, listens: Listens, data_dir: Path, shared: Mapping[str, str], environ: Mapping[str, str]
) -> ChildPlan:
    """`shared`: the HEADGATE_* variables that are the same for all."""
    prefix = f"HEADGATE_{service.upper()}_"
    port_file = data_dir / "run" / f"{service}.address"
    own = {
        f"{prefix}LISTEN": listens.grpc[service],
        f"{prefix}METRICS_LISTEN": listens.metrics[service],
        f"{prefix}PORT_FILE": str(port_file),
        # Nobody balances load over the processes of one machine, so nobody needs to notice that they leave.
        f"{prefix}LAME_DUCK_SECONDS": environ.get(f"{prefix}LAME_DUCK_SECONDS", "0"),
    }
    return ChildPlan(service, f"services.{service}", (), {**shared, **own}, port_file)


def peer_variables(addresses: Mapping[str, str]) -> dict[str, str]:
    """How the router is told where its peers are."""
    return {f"HEADGATE_ROUTER_{name.upper()}_ADDRESS": addresses[name] for name in PEERS}


def simulator_plan(listens: Listens) -> ChildPlan:
    return ChildPlan("simulator", "simulator", ("--listen", listens.simulator))


def at_address(plan: ChildPlan, address: str, metrics: str) -> ChildPlan:
    """The same process on ports that are known now, to be started again where others expect it."""
    if plan.name == "simulator":
        return replace(plan, arguments=("--listen", address))
    prefix = f"HEADGATE_{plan.name.upper()}_"
    return replace(
        plan, environ={**plan.environ, f"{prefix}LISTEN": address, f"{prefix}METRICS_LISTEN": metrics}
    )


def stopping_order(names: list[str]) -> list[list[str]]:
    """Who is ended together: first the router, which still needs the others to settle; last the simulator."""
    ordered = [["router"], [name for name in SERVICES if name != "router"], ["simulator"]]
    return [present for group in ordered if (present := [name for name in group if name in names])]
