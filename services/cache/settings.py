"""Every setting of the cache, from `HEADGATE_CACHE_*`."""

from dataclasses import dataclass

from services._runtime.configuration.settings import ProcessSettings, Secret, SettingsError, setting

PREFIX = "HEADGATE_CACHE_"
_MIB = 1024 * 1024
_LEAST_SECRET_CHARACTERS = 16
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


@dataclass(frozen=True, kw_only=True)
class CacheSettings(ProcessSettings):
    listen: str = setting("127.0.0.1:50052", "host:port of gRPC; port 0 takes a free one")
    metrics_listen: str = setting("127.0.0.1:9465", "host:port of the Prometheus endpoint, or `off`")
    store: str = setting("memory", "where entries are kept: memory, or redis://host:port/db")
    store_timeout_seconds: float = setting(
        0.25, "how long Redis may take to connect or answer", minimum=0.001
    )
    key_secret: Secret | None = setting(
        None,
        "what keys are derived under; all replicas on one Redis need the same. Absent: made at first start",
    )
    max_bytes: int = setting(256 * _MIB, "memory store: bytes of all entries", minimum=_MIB)
    max_organization_bytes: int = setting(
        0, "memory store: bytes of one organisation's entries; 0: half of MAX_BYTES", minimum=0
    )
    max_entry_bytes: int = setting(_MIB, "an answer that is larger is not kept", minimum=1)
    default_ttl_seconds: int = setting(
        3600, "how long an answer is kept when the caller does not say", minimum=1
    )
    max_ttl_seconds: int = setting(2_592_000, "the longest that any answer is kept", minimum=1)

    def __post_init__(self) -> None:
        """:raises SettingsError: values that contradict each other."""
        if problems := contradictions(self):
            raise SettingsError(problems)

    @property
    def is_shared(self) -> bool:
        """Whether other processes see the same entries."""
        return self.store != "memory"

    @property
    def organization_bytes(self) -> int:
        return self.max_organization_bytes or self.max_bytes // 2


def contradictions(settings: CacheSettings) -> list[str]:
    problems = []
    if settings.store != "memory" and not settings.store.startswith(_REDIS_SCHEMES):
        problems.append(f"{PREFIX}STORE: {settings.store!r} is neither memory nor redis://host:port/db")
    if settings.is_shared and settings.workers > 1 and settings.key_secret is None:
        problems.append(f"{PREFIX}KEY_SECRET is not set: several processes on one Redis need the same")
    if settings.key_secret is not None and len(settings.key_secret.reveal()) < _LEAST_SECRET_CHARACTERS:
        problems.append(f"{PREFIX}KEY_SECRET has fewer than {_LEAST_SECRET_CHARACTERS} characters")
    if settings.default_ttl_seconds > settings.max_ttl_seconds:
        problems.append(f"{PREFIX}DEFAULT_TTL_SECONDS is above {PREFIX}MAX_TTL_SECONDS")
    return problems
