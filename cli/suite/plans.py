"""The processes of a suite, each with the variables that it needs. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from cli.installation import SERVICES
from cli.options import COMMAND_VARIABLES
from cli.suite.child import ChildPlan
from cli.suite.ports import Listens

PEERS = ("cache", "ratelimit", "billing")


# What a service takes as `…_FILE`, so that no secret stands in its environment.
SECRETS: Mapping[str, tuple[str, ...]] = {"cache": ("KEY_SECRET",), "billing": ("STORE", "KEY_PEPPER")}
TOKEN = "HEADGATE_INTERNAL_TOKEN"  # noqa: S105 - its variable

# What every program may see of the user's environment: where it is, and in which words to speak.
_EVERYBODYS = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV"}
)
_EVERYBODYS_PREFIXES = ("LC_", "LD_", "DYLD_", "MALLOC_", "PYTHON")
_SERVICES_PREFIXES = ("GRPC_", "OTEL_", "SSL_CERT_")
# asyncpg asks them for what an address leaves open.
_OWN_PREFIXES: Mapping[str, tuple[str, ...]] = {"billing": ("PG",)}


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


def own_environment(child: str, environ: Mapping[str, str], named: Collection[str]) -> dict[str, str]:
    """What `child` may see of the user's environment: what everybody may, and its own settings but for what is in files.

    `named`: the variables that the configuration names as credentials of providers; the router asks the providers.
    """
    in_files = secrets_of(child, environ)
    return {
        name: value for name, value in environ.items() if _is_own(child, name, named) and name not in in_files
    }


def _is_own(child: str, name: str, named: Collection[str]) -> bool:
    if name in _EVERYBODYS or name.startswith(_EVERYBODYS_PREFIXES):
        return True
    if child not in SERVICES:
        return False
    if name.startswith("HEADGATE_"):
        others = tuple(f"HEADGATE_{each.upper()}_" for each in SERVICES if each != child)
        return not name.startswith(others) and name not in (TOKEN, f"{TOKEN}_FILE")
    if child == "router" and name in named:
        return True
    return name.startswith((*_SERVICES_PREFIXES, *_OWN_PREFIXES.get(child, ())))


def secrets_of(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the service's secrets that are set, by variable; what is set twice is the service's to refuse."""
    names = [f"HEADGATE_{service.upper()}_{each}" for each in SECRETS.get(service, ())]
    return {name: environ[name] for name in names if environ.get(name) and not environ.get(f"{name}_FILE")}


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
