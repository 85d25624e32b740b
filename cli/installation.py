"""What commands know about the installation that they talk to: addresses, the API key, the internal token."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from services._runtime.private import private_file

SERVICES = ("router", "cache", "ratelimit", "billing")
DEFAULT_ADDRESSES = {
    "router": "127.0.0.1:50051",
    "cache": "127.0.0.1:50052",
    "ratelimit": "127.0.0.1:50053",
    "billing": "127.0.0.1:50054",
}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running suite serves: gRPC and Prometheus by service, and the simulator's HTTP (empty without one).

    `pids`: the processes by name, and `up` itself.
    """

    grpc: Mapping[str, str]
    metrics: Mapping[str, str] = field(default_factory=dict)
    simulator: str = ""
    pids: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Installation:
    """The files that `headgate up` leaves in its data directory for the other commands."""

    data_dir: Path

    @property
    def addresses_file(self) -> Path:
        return self.data_dir / "addresses.json"

    @property
    def credentials_file(self) -> Path:
        return self.data_dir / "credentials"

    @property
    def token_file(self) -> Path:
        return self.data_dir / "internal_token"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def run(self) -> Path:
        """What belongs to a suite that runs."""
        return self.data_dir / "run"

    @property
    def secrets(self) -> Path:
        """What services are told in files, not in their environment."""
        return self.run / "secrets"

    def write_addresses(self, addresses: Addresses) -> None:
        write_private(self.addresses_file, json.dumps(asdict(addresses), indent=2))

    def read_addresses(self) -> Addresses | None:
        """None when no suite was started here, or it has ended."""
        try:
            return Addresses(**json.loads(self.addresses_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def address(self, service: str) -> str:
        running = self.read_addresses()
        return DEFAULT_ADDRESSES[service] if running is None else running.grpc[service]

    def api_key(self, environ: Mapping[str, str]) -> str:
        return environ.get("HEADGATE_API_KEY") or _text(self.credentials_file)

    def internal_token(self, environ: Mapping[str, str]) -> str:
        return environ.get("HEADGATE_INTERNAL_TOKEN") or _text(self.token_file)

    def forget_run(self) -> None:
        """A suite that has ended leaves its data and its key, but no addresses."""
        self.addresses_file.unlink(missing_ok=True)
        self.token_file.unlink(missing_ok=True)
        for path in self.secrets.glob("*"):
            path.unlink()


def write_private(path: Path, text: str) -> None:
    """Replaces the file at once, readable by its owner only."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = private_file(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    partial.replace(path)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
