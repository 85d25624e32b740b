"""The router's settings, read from `HEADGATE_ROUTER_*`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services._runtime.address import stays_here
from services._runtime.configuration.settings import ProcessSettings, SettingsError, setting

PREFIX = "HEADGATE_ROUTER_"


@dataclass(frozen=True, kw_only=True)
class RouterSettings(ProcessSettings):
    """What an operator can set of a router process."""

    listen: str = setting("127.0.0.1:50051", "host:port of gRPC; port 0 takes a free one")
    metrics_listen: str = setting("127.0.0.1:9464", "host:port of the Prometheus endpoint, or `off`")
    # Prompts of up to 20 MiB are judged by the contract's rules, which name the field; only far larger messages are cut off.
    max_message_bytes: int = setting(32 * 1024 * 1024, "largest message received or sent", minimum=4096)

    cache_address: str = setting("127.0.0.1:50052", "host:port of the cache")
    ratelimit_address: str = setting("127.0.0.1:50053", "host:port of the rate limiter")
    billing_address: str = setting("127.0.0.1:50054", "host:port of billing")
    peer_ca_file: Path | None = setting(
        None, "PEM authority of the peers' certificates; with it they are called over TLS"
    )
    allow_insecure_peers: bool = setting(
        default=False,
        about="call peers beyond this machine without TLS, with the internal token and API keys",
    )
    start_wait_seconds: float = setting(
        10.0,
        "how long a start waits for its peers; then the router serves without those that are missing",
        minimum=0,
    )
    peer_timeout_seconds: float = setting(1.0, "the longest that a call to a peer may take", minimum=0.001)
    peer_timeout_floor_seconds: float = setting(
        0.5,
        "what a call to a peer may take at least; between the two, eight times the 99th percentile of its answers",
        minimum=0,
    )

    key_fresh_seconds: float = setting(
        5.0, "how long a key's verdict is trusted; a revoked key works that long", minimum=0
    )
    key_stale_seconds: float = setting(
        600.0, "how long a known key works while billing can't be reached", minimum=0
    )
    limits_lost: Literal["open", "closed"] = setting(
        "open",
        "while the rate limiter can't be reached: admit or refuse what limits that say so themselves (store_loss_policy) do not decide",
    )

    expected_output_tokens: int = setting(
        4096,
        "reserved when the request gives no max_output_tokens, and asked for at the most where a limit on tokens binds it",
        minimum=1,
    )
    max_output_tokens: int = setting(
        4096, "held when neither request nor target bounds the answer", minimum=1
    )
    longest_stream_seconds: float = setting(
        3600.0,
        "how long a stream may take in all, with every attempt; then it ends as one that was cut for its length",
        minimum=0.1,
        maximum=3600,
    )
    max_answer_bytes_in_flight: int = setting(
        128 * 1024 * 1024,
        "bytes of answers that wait here for their readers, a quarter of them for one key; beyond, providers are held back",
        minimum=1024 * 1024,
    )
    write_timeout_seconds: float = setting(
        30.0, "how long a client may not read before its stream is cut", minimum=0.1
    )
    linger_seconds: float = setting(
        30.0,
        "how long an unstreamed upstream call may go on after its caller is gone, so that its usage is known",
        minimum=0,
    )
    spool_max_bytes: int = setting(
        256 * 1024 * 1024, "usage kept while billing is down; when full, requests are refused", minimum=4096
    )
    refused_max_bytes: int = setting(
        64 * 1024 * 1024,
        "usage that billing refused, kept for a person to look into and take away; when full, requests are refused",
        minimum=4096,
    )

    def __post_init__(self) -> None:
        """:raises SettingsError: what peers are told could be read on its way."""
        if self.peer_ca_file is not None or self.allow_insecure_peers:
            return
        addresses = {
            "CACHE": self.cache_address,
            "RATELIMIT": self.ratelimit_address,
            "BILLING": self.billing_address,
        }
        problems = [
            f"{PREFIX}{peer}_ADDRESS={address} is another machine, which would be told the internal token and API keys "
            f"without TLS: set {PREFIX}PEER_CA_FILE, or {PREFIX}ALLOW_INSECURE_PEERS=true when something else protects it"
            for peer, address in addresses.items()
            if not stays_here(address)
        ]
        if problems:
            raise SettingsError(problems)
