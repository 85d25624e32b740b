"""Every variable of this service, read under `HEADGATE_RATELIMIT_`."""

from dataclasses import dataclass

from services._runtime.configuration.settings import ProcessSettings, setting

MEMORY = "memory"


@dataclass(frozen=True, kw_only=True)
class RateLimitSettings(ProcessSettings):
    listen: str = setting("127.0.0.1:50053", "host:port of gRPC; port 0 takes a free one")
    metrics_listen: str = setting("127.0.0.1:9466", "host:port of the Prometheus endpoint, or `off`")
    store: str = setting(MEMORY, "memory, or the URL of a Redis, such as redis://127.0.0.1:6379/0")
    store_timeout_seconds: float = setting(
        0.1, "how long Redis may take to answer", minimum=0.001, maximum=10
    )
    store_connections: int = setting(16, "connections to Redis at most", minimum=1, maximum=1024)
    reservation_ttl_seconds: int = setting(
        600, "how long a reservation can be settled when its caller does not say", minimum=1, maximum=86400
    )
    refresh_seconds: float = setting(
        0.5, "how often other replicas' changes of limits are looked for", minimum=0.05, maximum=60
    )


def single_process(settings: RateLimitSettings) -> str | None:
    """The setting that keeps state in one process, if it does."""
    return "HEADGATE_RATELIMIT_STORE=memory" if settings.store == MEMORY else None
