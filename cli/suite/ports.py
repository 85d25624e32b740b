"""On which addresses a suite listens."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from cli.errors import CommandError
from cli.installation import DEFAULT_ADDRESSES, SERVICES

_HOST = "127.0.0.1"
_METRICS_PORTS = {"router": 9464, "cache": 9465, "ratelimit": 9466, "billing": 9467}
_SIMULATOR_PORT = 8089
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Listens:
    """`host:port` of gRPC and Prometheus by service, and of the simulator; port 0 takes a free one."""

    grpc: Mapping[str, str]
    metrics: Mapping[str, str]
    simulator: str

    @property
    def all_known(self) -> bool:
        return not any(address.endswith(":0") for address in (*self.grpc.values(), self.simulator))


def choose(environ: Mapping[str, str], *, offset: int = 0, free: bool = False) -> Listens:
    """The default ports, moved by `offset`, or free ones; a service's own HEADGATE_<SERVICE>_LISTEN comes first."""

    def at(port: int) -> str:
        if port + offset > _LARGEST_PORT:
            raise CommandError(f"--port-offset {offset} leads beyond port {_LARGEST_PORT}")
        return f"{_HOST}:{0 if free else port + offset}"

    default_ports = {service: int(DEFAULT_ADDRESSES[service].rpartition(":")[2]) for service in SERVICES}
    return Listens(
        {
            name: environ.get(f"HEADGATE_{name.upper()}_LISTEN") or at(default_ports[name])
            for name in SERVICES
        },
        {
            name: environ.get(f"HEADGATE_{name.upper()}_METRICS_LISTEN", at(_METRICS_PORTS[name]))
            for name in SERVICES
        },
        at(_SIMULATOR_PORT),
    )


def require_free(listens: Listens, *, with_simulator: bool) -> None:
    """:raises CommandError: something else listens on one of the ports"""
    wanted = {f"the {name} service": address for name, address in listens.grpc.items()}
    wanted |= {f"the metrics of {name}": address for name, address in listens.metrics.items() if address}
    if with_simulator:
        wanted["the simulator"] = listens.simulator
    for what, address in wanted.items():
        if not _is_free(address):
            raise CommandError(
                f"port {address.rpartition(':')[2]}, which {what} needs, is in use",
                "Stop what listens there, or start with --port-offset 100 or --free-ports",
            )


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError:
            return False
    return True
