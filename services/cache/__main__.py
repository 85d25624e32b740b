"""The cache's process: `python -m services.cache`."""

import sys
import time
from functools import partial

from headgate.cache.v1.cache_service_pb2_grpc import add_CacheServiceServicer_to_server
from services._runtime.configuration.sections import refuse_keys
from services._runtime.configuration.settings import SettingsError, SharedSettings
from services._runtime.private import private_folder
from services._runtime.process.run import Application, run
from services._runtime.rpc.authentication import require_internal_token
from services._runtime.rpc.server import Service
from services._runtime.telemetry.telemetry import Telemetry
from services.cache.cache import AnswerCache, Bounds
from services.cache.metrics import CacheCollector
from services.cache.secret import keep_secret
from services.cache.servicer import SERVICE, TRUSTED_METHODS, CacheServicer
from services.cache.settings import CacheSettings
from services.cache.store import EntryStore
from services.cache.stores.memory import MemoryEntryStore

_NS = 1_000_000_000


async def compose(settings: CacheSettings, shared: SharedSettings, telemetry: Telemetry) -> Application:
    refuse_keys(shared.config, "cache")
    store = _store(settings)
    bounds = Bounds(
        settings.default_ttl_seconds * _NS, settings.max_ttl_seconds * _NS, settings.max_entry_bytes
    )
    cache = AnswerCache(store, _secret(settings, shared, telemetry), bounds)
    telemetry.registry.register(CacheCollector(cache))
    servicer = CacheServicer(cache, time.time_ns)
    return Application(
        [Service(SERVICE, partial(add_CacheServiceServicer_to_server, servicer))],
        authenticate=require_internal_token(shared.internal_token),
        trusted_methods=TRUSTED_METHODS,
        on_stop=[store.close],
    )


def _store(settings: CacheSettings) -> EntryStore:
    if not settings.is_shared:
        return MemoryEntryStore(settings.max_bytes, settings.organization_bytes)
    from services.cache.stores.redis import RedisEntryStore  # noqa: PLC0415 - 7 MB that the memory store saves

    try:
        return RedisEntryStore.connect(
            settings.store, settings.store_timeout_seconds, settings.max_ttl_seconds * _NS
        )
    except ValueError as error:
        raise SettingsError([f"HEADGATE_CACHE_STORE: {error}"]) from None


def _secret(settings: CacheSettings, shared: SharedSettings, telemetry: Telemetry) -> bytes:
    if settings.key_secret is not None:
        return settings.key_secret.reveal().encode()
    private_folder(shared.data_dir)
    path = shared.data_dir / "cache" / "key.secret"
    if settings.is_shared:
        telemetry.log.warning(
            "other replicas find nothing of this one's without its key secret", path=str(path)
        )
    return keep_secret(path)


def keeps_state_in_process(settings: CacheSettings) -> str | None:
    return None if settings.is_shared else "HEADGATE_CACHE_STORE=memory"


if __name__ == "__main__":
    sys.exit(run("cache", CacheSettings, compose, single_process=keeps_state_in_process, internal=True))
