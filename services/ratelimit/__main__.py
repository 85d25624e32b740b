"""The rate limiter's process: `python -m services.ratelimit`."""

import asyncio
import sys
import time
from functools import partial
from pathlib import Path

from envoy.service.ratelimit.v3.rls_pb2_grpc import (
    add_RateLimitServiceServicer_to_server as add_envoy_servicer,
)
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import add_RateLimitServiceServicer_to_server
from services._runtime.configuration.sections import has_section
from services._runtime.configuration.settings import SettingsError, SharedSettings
from services._runtime.process.apart import apart
from services._runtime.process.run import Application, run
from services._runtime.rpc.authentication import require_internal_token
from services._runtime.rpc.server import Service
from services._runtime.telemetry.telemetry import Telemetry
from services.ratelimit.book import LimitBook
from services.ratelimit.envoy_servicer import SERVICE as ENVOY_SERVICE
from services.ratelimit.envoy_servicer import EnvoyRateLimitServicer
from services.ratelimit.limit import Limit
from services.ratelimit.limiter import Limiter
from services.ratelimit.metrics import LimiterMetrics
from services.ratelimit.servicer import SERVICE, TRUSTED_METHODS, RateLimitServicer
from services.ratelimit.settings import MEMORY, RateLimitSettings, single_process
from services.ratelimit.store import BucketStore, LimitStore
from services.ratelimit.stores.memory import MemoryBucketStore
from services.ratelimit.stores.memory_limits import MemoryLimitStore

_US = 1_000_000


async def compose(settings: RateLimitSettings, shared: SharedSettings, telemetry: Telemetry) -> Application:
    buckets, limits = _stores(settings)
    book = LimitBook(limits, _declared(shared.config))
    await book.refresh_or_keep(telemetry.log)
    following = asyncio.create_task(book.follow(settings.refresh_seconds, telemetry.log))
    metrics = LimiterMetrics(telemetry.registry)
    limiter = Limiter(book, buckets, metrics, settings.reservation_ttl_seconds * _US)
    servicer = RateLimitServicer(limiter, book, time.time_ns)

    async def stop() -> None:
        following.cancel()
        await asyncio.wait([following])
        await buckets.close()

    return Application(
        [
            Service(SERVICE, partial(add_RateLimitServiceServicer_to_server, servicer)),
            Service(ENVOY_SERVICE, partial(add_envoy_servicer, EnvoyRateLimitServicer())),
        ],
        authenticate=require_internal_token(shared.internal_token),
        trusted_methods=TRUSTED_METHODS,
        on_stop=[stop],
    )


def _declared(config: Path | None) -> list[Limit]:
    if not has_section(config, "ratelimit"):
        return []
    limits: list[Limit] = apart("services.ratelimit.config:declared_limits", config, saves="pydantic")
    return limits


def _stores(settings: RateLimitSettings) -> tuple[BucketStore, LimitStore]:
    if settings.store == MEMORY:
        return MemoryBucketStore(lambda: time.monotonic_ns() // 1000), MemoryLimitStore()
    # Here, for they are 7 MB that the memory store saves.
    from services.ratelimit.stores.redis import RedisBucketStore  # noqa: PLC0415
    from services.ratelimit.stores.redis_limits import RedisLimitStore  # noqa: PLC0415
    from services.ratelimit.stores.redis_script import ScriptedRedis  # noqa: PLC0415

    try:
        redis = ScriptedRedis.connect(
            settings.store, settings.store_timeout_seconds, settings.store_connections
        )
    except ValueError as error:
        raise SettingsError([f"HEADGATE_RATELIMIT_STORE: {error}"]) from None
    return RedisBucketStore(redis), RedisLimitStore(redis)


if __name__ == "__main__":
    sys.exit(run("ratelimit", RateLimitSettings, compose, single_process=single_process, internal=True))
