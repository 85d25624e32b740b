"""Every variable of this service, read under `HEADGATE_BILLING_`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from services._runtime.configuration.settings import ProcessSettings, Secret, SettingsError, setting

_STORE_FORMS = "sqlite, sqlite:///path, or postgresql://user:password@host:port/database"
PREFIX = "HEADGATE_BILLING_"
PEPPER_VARIABLE = f"{PREFIX}KEY_PEPPER"
_LEAST_PEPPER_CHARACTERS = 16


@dataclass(frozen=True, kw_only=True)
class BillingSettings(ProcessSettings):
    listen: str = setting("127.0.0.1:50054", "host:port of gRPC; port 0 takes a free one")
    metrics_listen: str = setting("127.0.0.1:9467", "host:port of the Prometheus endpoint, or `off`")
    store: Secret | None = setting(None, f"{_STORE_FORMS}; absent: sqlite, billing.db in the data directory")
    store_connections: int = setting(5, "connections to PostgreSQL at most", minimum=1, maximum=100)
    start_wait_seconds: float = setting(
        10.0, "how long a start waits for a database that does not answer yet", minimum=0
    )
    key_pepper: Secret | None = setting(
        None, "what the hashes of API keys are keyed with; absent with SQLite: made at first start"
    )
    unpriced_models: Literal["book_zero", "refuse"] = setting(
        "book_zero", "what Authorize does with a model without a price; usage is always booked, and flagged"
    )
    sweep_seconds: float = setting(
        15.0, "how often expired holds are marked as orphaned", minimum=0.05, maximum=3600
    )
    orphan_grace_seconds: float = setting(
        900.0,
        "how long a hold that expired stays held, so that a router that comes back settles it; then it is released",
        minimum=0,
    )

    def __post_init__(self) -> None:
        """:raises SettingsError: a store of no known form, or a pepper too short to be one."""
        problems = []
        if self.store is not None and _parsed(self.store) is None:
            problems.append(f"{PREFIX}STORE is not one of: {_STORE_FORMS}")
        if self.key_pepper is not None and len(self.key_pepper.reveal()) < _LEAST_PEPPER_CHARACTERS:
            problems.append(f"{PEPPER_VARIABLE} is shorter than {_LEAST_PEPPER_CHARACTERS} characters")
        if problems:
            raise SettingsError(problems)

    @property
    def postgresql(self) -> URL | None:
        url = None if self.store is None else _parsed(self.store)
        return url if isinstance(url, URL) and url.get_backend_name() == "postgresql" else None

    def sqlite_path(self, data_dir: Path) -> Path:
        url = None if self.store is None else _parsed(self.store)
        return Path(url.database) if isinstance(url, URL) and url.database else data_dir / "billing.db"


def single_process(settings: BillingSettings) -> str | None:
    """The setting that keeps state in one process, if it does."""
    return "HEADGATE_BILLING_STORE=sqlite" if settings.postgresql is None else None


def _parsed(store: Secret) -> URL | str | None:
    text = store.reveal()
    if text == "sqlite":
        return text
    try:
        url = make_url(text)
    except ArgumentError:
        return None
    is_known = url.drivername in {"sqlite", "postgresql"} and url.database
    return url if is_known else None
