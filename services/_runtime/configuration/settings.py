"""The settings that every Headgate process has; each service extends `ProcessSettings` with its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services._runtime.configuration.environment import (
    Secret,
    SettingsError,
    Variable,
    describe,
    read_settings,
    setting,
)

__all__ = [
    "ProcessSettings",
    "Secret",
    "SettingsError",
    "SharedSettings",
    "Variable",
    "describe",
    "read_settings",
    "read_shared",
    "setting",
]

SHARED_PREFIX = "HEADGATE_"
LEAST_TOKEN_CHARACTERS = 32


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """Extended by each service's settings, read under `HEADGATE_<SERVICE>_`."""

    listen: str = setting("127.0.0.1:0", "host:port of gRPC; port 0 takes a free one")
    metrics_listen: str = setting("off", "host:port of the Prometheus endpoint, or `off`")
    workers: int = setting(1, "processes that share the port", minimum=1, maximum=256)
    drain_seconds: float = setting(30.0, "how long running calls may go on after SIGTERM", minimum=0)
    lame_duck_seconds: float = setting(
        0.5, "how long new calls are still taken after NOT_SERVING is said", minimum=0
    )
    max_message_bytes: int = setting(20 * 1024 * 1024, "largest message received or sent", minimum=4096)
    max_request_bytes_in_flight: int = setting(
        256 * 1024 * 1024,
        "requests of 64 KiB and more that are served at once, in bytes; one caller has at most a quarter",
        minimum=4096,
    )
    max_connections: int = setting(1024, "connections at once; more are refused", minimum=1)
    max_calls_per_connection: int = setting(2048, "calls at once on one connection", minimum=1)
    max_connection_idle_seconds: float = setting(
        900.0, "after which a connection without calls is closed; 0: never", minimum=0
    )
    max_connection_age_seconds: float = setting(
        3600.0, "after which a connection takes no more calls; 0: never", minimum=0
    )
    reflection: bool = setting(default=True, about="serve gRPC reflection")
    channelz: bool = setting(
        default=False,
        about="serve gRPC channelz, which shows connections and addresses to everybody who asks",
    )
    tls_cert_file: Path | None = setting(None, "PEM certificate chain; with it gRPC is served over TLS")
    tls_key_file: Path | None = setting(None, "PEM private key of the certificate")
    tls_client_ca_file: Path | None = setting(None, "PEM authority that client certificates must come from")
    allow_insecure_listen: bool = setting(default=False, about="listen without TLS beyond this machine")
    allow_insecure_metrics: bool = setting(
        default=False, about="serve metrics, which have no TLS and ask for nothing, beyond this machine"
    )
    port_file: Path | None = setting(None, "where the actual address is written once the process serves")
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "least level that is logged")
    otlp_endpoint: str = setting("", "OTLP/gRPC collector of traces, such as http://127.0.0.1:4317")
    trace_file: Path | None = setting(None, "file to which spans are appended as JSON lines")
    trace_sample_ratio: float = setting(
        1.0, "share of the traces begun here that are recorded", minimum=0, maximum=1
    )

    @property
    def serves_metrics(self) -> bool:
        return self.metrics_listen != "off"


@dataclass(frozen=True, kw_only=True)
class SharedSettings:
    """The same for all services of an installation, read under `HEADGATE_`."""

    config: Path | None = setting(None, "the YAML file of the installation")
    data_dir: Path = setting(Path(".headgate"), "where embedded stores and spools live")
    internal_token: Secret | None = setting(None, "what cache, ratelimit and billing ask of their callers")
    allow_no_internal_token: bool = setting(
        default=False, about="let cache, ratelimit and billing serve every user of this machine; never others"
    )

    def __post_init__(self) -> None:
        """:raises SettingsError: a token that could be guessed."""
        token = self.internal_token
        if token is not None and len(token.reveal()) < LEAST_TOKEN_CHARACTERS:
            problem = f"{SHARED_PREFIX}INTERNAL_TOKEN has fewer than {LEAST_TOKEN_CHARACTERS} characters"
            raise SettingsError(
                [f"{problem}: make one with `openssl rand -hex 32`, the same for all services"]
            )


def read_shared(environ: Mapping[str, str]) -> SharedSettings:
    return read_settings(SharedSettings, SHARED_PREFIX, environ, exclusive=False)
