"""The four services as processes that are killed at random, over a simulator in this process."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml

from cli.suite.signals import StopSignals
from cli.suite.suite import Suite, SuiteOptions
from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import usage_pb2
from headgate.billing.v1.account_service_pb2_grpc import AccountServiceStub
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from headgate.common.v1 import caller_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from headgate.router.v1 import router_service_pb2 as router
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from services._runtime.direct import open_cleartext_aio
from simulator.exchange import Simulator
from simulator.models import Models
from simulator.server import serving as simulating
from tests.support.in_process import entries_of, key_of

_RECONNECTING = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
_VICTIMS = ["router", "router", "router", "billing", "ratelimit", "cache"]
_REVIVE_AFTER_SECONDS = 0.2
_LOOK_SECONDS = 0.05
_UP_SECONDS = 60.0
Metadata = tuple[tuple[str, str], ...]


@dataclass
class KilledSuite:
    """Services that come back after each kill, at their addresses and with their data."""

    suite: Suite
    simulator: Simulator
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    def open(self) -> None:
        internal = self.suite.installation.internal_token({})
        addresses = self.suite.installation.read_addresses()
        assert addresses is not None
        opened = {
            name: open_cleartext_aio(address, _RECONNECTING) for name, address in addresses.grpc.items()
        }
        self.channels += opened.values()
        self.router = RouterServiceStub(opened["router"])
        self.billing = _Internal(BillingServiceStub(opened["billing"]), internal)
        self.accounts = _Internal(AccountServiceStub(opened["billing"]), internal)
        self.ratelimit = _Internal(RateLimitServiceStub(opened["ratelimit"]), internal)
        self.cache = _Internal(CacheServiceStub(opened["cache"]), internal)

    async def new_key(self, organization_id: str, user_id: str = "") -> tuple[Metadata, caller_pb2.Caller]:
        return await key_of(self.accounts, organization_id, user_id)

    async def entries(self, organization_id: str) -> list[usage_pb2.LedgerEntry]:
        return await entries_of(self.billing, organization_id)

    async def kill_until(self, ended: asyncio.Event, rng: random.Random) -> frozenset[str]:
        """Whom it killed, at random, until `ended` is set."""
        killed: set[str] = set()
        due = time.monotonic() + rng.uniform(0.2, 1.5)
        while not ended.is_set():
            await self._revive()
            if time.monotonic() >= due:
                name = rng.choice(_VICTIMS)
                child = self.suite.children[name]
                if child.exit_code is None:
                    os.kill(child.pid, signal.SIGKILL)
                    killed.add(name)
                due = time.monotonic() + rng.uniform(0.5, 3.0)
        return frozenset(killed)

    async def await_up(self, metadata: Metadata) -> None:
        """Until every service answers; `metadata` is a key's."""
        until = time.monotonic() + _UP_SECONDS
        while True:
            await self._revive()
            try:
                await self.billing.ListHolds(billing.ListHoldsRequest())
                await self.ratelimit.ListLimits(ratelimit.ListLimitsRequest())
                await self.cache.GetStats(cache.GetStatsRequest())
                await self.router.ListModels(router.ListModelsRequest(), metadata=metadata)
            except grpc.aio.AioRpcError:
                if time.monotonic() > until:
                    raise
            else:
                return

    async def _revive(self) -> None:
        await asyncio.to_thread(self.suite.revive, time.monotonic(), _REVIVE_AFTER_SECONDS)
        await asyncio.sleep(_LOOK_SECONDS)


class _Internal:
    """A stub whose calls carry the services' own token."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub = stub
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __getattr__(self, method: str) -> Any:
        return lambda request: getattr(self._stub, method)(request, metadata=self._metadata, timeout=30)


@asynccontextmanager
async def killed_suite(
    data_dir: Path, config: Mapping[str, Any], environ: Mapping[str, str]
) -> AsyncIterator[KilledSuite]:
    """`simulator` in a provider's `base_url` is replaced by the simulator's address."""
    simulator = Simulator(Models())
    async with simulating(simulator) as base_url:
        file = data_dir / "headgate.yaml"
        file.write_text(yaml.safe_dump(dict(config)).replace("simulator:", base_url), encoding="utf-8")
        options = SuiteOptions(data_dir, file, simulator=False, free_ports=True)
        with StopSignals(interrupting=True) as signals:
            suite = Suite(options, {**os.environ, **environ}, signals)
            with suite:
                await asyncio.to_thread(suite.start)
                killed = KilledSuite(suite, simulator)
                killed.open()
                try:
                    yield killed
                finally:
                    for channel in killed.channels:
                        await channel.close()
                    await asyncio.to_thread(suite.stop)
