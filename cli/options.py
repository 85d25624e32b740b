"""Options that several commands share, and the installation that they name."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli.installation import Installation

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cli.client import Peer

_WHERE = "Which installation"

DataDir: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="HEADGATE_DATA_DIR",
        help="Where `headgate up` keeps its data.",
        rich_help_panel=_WHERE,
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Router: TypeAlias = Annotated[
    str | None,
    typer.Option("--router", metavar="HOST:PORT", envvar="HEADGATE_ROUTER_ADDRESS", rich_help_panel=_WHERE),
]
RateLimit: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--ratelimit", metavar="HOST:PORT", envvar="HEADGATE_RATELIMIT_ADDRESS", rich_help_panel=_WHERE
    ),
]
Billing: TypeAlias = Annotated[
    str | None,
    typer.Option("--billing", metavar="HOST:PORT", envvar="HEADGATE_BILLING_ADDRESS", rich_help_panel=_WHERE),
]
DEFAULT_DATA_DIR = Path(".headgate")

# Only commands read these; services would refuse them as unknown settings of theirs.
COMMAND_VARIABLES = (
    "HEADGATE_API_KEY",
    "HEADGATE_ROUTER_ADDRESS",
    "HEADGATE_CACHE_ADDRESS",
    "HEADGATE_RATELIMIT_ADDRESS",
    "HEADGATE_BILLING_ADDRESS",
)


def peer(service: str, address: str | None, data_dir: Path) -> "AbstractContextManager[Peer]":
    """The service at `address`, else where the installation runs; the router is asked with the API key."""
    from cli.client import connected

    installation = Installation(data_dir)
    token = (
        installation.api_key(os.environ) if service == "router" else installation.internal_token(os.environ)
    )
    return connected(service, address or installation.address(service), token)


def has_internal_token(data_dir: Path) -> bool:
    """Without it only the router answers, and of the key's own."""
    return bool(Installation(data_dir).internal_token(os.environ))
