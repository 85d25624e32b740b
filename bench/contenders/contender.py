"""What the measuring needs to know of a contender."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.generator.window import Target
from bench.ledger import Ledger
from cli.installation import Addresses


class AbsentError(Exception):
    """It can't be measured on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contender runs."""

    folder: Path
    """Of its own: data, configuration and logs."""
    upstream: str
    """host:port of the mock model server."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a Headgate's own services are reached."""

    addresses: Addresses
    token: str
    data_dir: Path
    pepper: str
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Running:
    """A contender that serves."""

    name: str
    target: Target
    services: Mapping[str, int]
    """Process ids by the names under which their trees are accounted."""
    counted_as: str = ""
    """The name under which the upstream counts its requests; empty: it asks no upstream."""
    access: Access | None = None
    """Of a Headgate."""


@dataclass(frozen=True, slots=True)
class Contender:
    """How it is started, and which scenarios it has no answer to, with the reason."""

    name: str
    running: Callable[[Place], AbstractContextManager[Running]]
    lacks: Mapping[str, str] = field(default_factory=dict)
    """By scenario name; `stream` and `hit` stand for all scenarios that stream or hit a cache."""
