"""compose.yaml as data, with what every test of it asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from services._runtime.configuration.settings import ProcessSettings
from services.billing.settings import BillingSettings
from services.cache.settings import CacheSettings
from services.ratelimit.settings import RateLimitSettings
from services.router.settings import RouterSettings

ROOT = Path(__file__).parents[3]
SECRETS = "/run/secrets/"


@dataclass(frozen=True)
class Kind:
    """A service as its code knows it."""

    name: str
    settings: type[ProcessSettings]

    @property
    def prefix(self) -> str:
        return f"HEADGATE_{self.name.upper()}_"

    @property
    def defaults(self) -> ProcessSettings:
        return self.settings()


KINDS = {
    "router": Kind("router", RouterSettings),
    "cache": Kind("cache", CacheSettings),
    "ratelimit": Kind("ratelimit", RateLimitSettings),
    "billing": Kind("billing", BillingSettings),
}


@cache
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text()))


def service(name: str) -> dict[str, Any]:
    return dict(compose()["services"][name])


def ours() -> dict[str, dict[str, Any]]:
    """The services that run from this repository's image."""
    return {name: entry for name, entry in compose()["services"].items() if "build" in entry}


def with_secrets_in(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of a container, with the secrets' files where they are on this machine."""
    return {
        name: str(folder / value.removeprefix(SECRETS)) if value.startswith(SECRETS) else value
        for name, value in environment.items()
    }


def port(address: str) -> int:
    return int(address.rpartition(":")[2])
