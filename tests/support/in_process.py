"""The four services and the simulator in one event loop: real gRPC between them, and their insides within a test's reach.

    async with in_process(tmp_path, router_section) as suite:
        async for event in suite.router.StreamComplete(request, metadata=suite.metadata): ...

`simulator` in a provider's `base_url` is replaced by the simulator's address. Each service can be stopped and started again
by itself (`suite.services["billing"].stop()`, `.start()`); its port and its data stay.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from headgate.billing.v1 import account_service_pb2, account_service_pb2_grpc, usage_pb2
from headgate.billing.v1 import billing_service_pb2 as billing_pb2
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from headgate.common.v1 import caller_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit_pb2
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from services._runtime.configuration.settings import read_settings, read_shared
from services._runtime.direct import open_cleartext_aio
from services._runtime.process.serving import Application, prefix_of
from services._runtime.rpc.boundary import Boundary
from services._runtime.rpc.interceptors import GatewayInterceptor
from services._runtime.rpc.server import GrpcServer
from services._runtime.telemetry.telemetry import make_telemetry
from services.billing.__main__ import compose as compose_billing
from services.billing.settings import BillingSettings
from services.cache.__main__ import compose as compose_cache
from services.cache.settings import CacheSettings
from services.ratelimit.__main__ import compose as compose_ratelimit
from services.ratelimit.settings import RateLimitSettings
from services.ratelimit.stores import memory
from services.router.__main__ import compose as compose_router
from services.router.pipeline import Pipeline
from services.router.settings import RouterSettings
from simulator.exchange import Simulator
from simulator.ledger import Record
from simulator.models import Models
from simulator.server import serving as simulating

SERVICES: dict[str, tuple[Any, Any]] = {
    "ratelimit": (RateLimitSettings, compose_ratelimit),
    "cache": (CacheSettings, compose_cache),
    "billing": (BillingSettings, compose_billing),
    "router": (RouterSettings, compose_router),
}
CAPACITY = 1_000_000_000
"""Of every limit: so much that nothing is refused, and what is missing from it was used."""
LIMITS = {"requests": "requests", "input": "input_tokens", "output": "output_tokens"}
INPUT_NANOS, OUTPUT_NANOS = 3_000, 15_000
"""What a token of any `sim-…` model costs here."""


class ServiceInLoop:
    """One service as its process composes it."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self._name = name
        self._environ = dict(environ)
        self._server: GrpcServer | None = None
        self.application = Application(())
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        settings_type, compose = SERVICES[self._name]
        prefix = prefix_of(self._name)
        environ = {**self._environ, f"{prefix}LISTEN": self.address}
        settings = read_settings(settings_type, prefix, environ)
        telemetry = make_telemetry(self._name)
        self.application = await compose(settings, read_shared(environ), telemetry)
        boundary = Boundary(self._name, telemetry, self.application.authenticate)
        interceptor = GatewayInterceptor(
            boundary,
            self.application.trusted_methods,
            max_message_bytes=settings.max_message_bytes,
            max_bytes_in_flight=settings.max_request_bytes_in_flight,
        )
        self._server = GrpcServer(settings, self.application.services, [interceptor])
        self.port = await self._server.start()

    async def stop(self) -> None:
        if self._server is None:
            return
        await self._server.stop()
        self._server = None
        for step in self.application.on_stop:
            await step()

    def servicer(self) -> Any:
        """The first service's servicer."""
        return self.application.services[0].add.args[0]  # type: ignore[attr-defined]


@dataclass
class InProcessSuite:
    data_dir: Path
    simulator: Simulator
    services: dict[str, ServiceInLoop]
    channels: list[grpc.aio.Channel] = field(default_factory=list)
    metadata: tuple[tuple[str, str], ...] = ()
    caller: caller_pb2.Caller = field(default_factory=caller_pb2.Caller)

    def channel(self, name: str, options: Sequence[tuple[str, Any]] = ()) -> grpc.aio.Channel:
        channel = open_cleartext_aio(self.services[name].address, options)
        self.channels.append(channel)
        return channel

    @property
    def pipeline(self) -> Pipeline:
        pipeline: Pipeline = self.services["router"].servicer()._pipeline
        return pipeline

    async def open(self) -> None:
        self.router = RouterServiceStub(self.channel("router"))
        self.ratelimit = RateLimitServiceStub(self.channel("ratelimit"))
        self.cache = CacheServiceStub(self.channel("cache"))
        self.billing = BillingServiceStub(self.channel("billing"))
        self.accounts = account_service_pb2_grpc.AccountServiceStub(self.channel("billing"))
        self.metadata, self.caller = await self.new_key("acme")

    async def new_key(
        self, organization_id: str, user_id: str = "", **fields: Any
    ) -> tuple[tuple[tuple[str, str], ...], caller_pb2.Caller]:
        return await key_of(self.accounts, organization_id, user_id, **fields)

    async def entries(self, organization_id: str = "acme") -> list[usage_pb2.LedgerEntry]:
        return await entries_of(self.billing, organization_id)

    async def used(self) -> dict[str, int]:
        """What limits have counted, by metric; what is only reserved counts too."""
        peeked = await self.ratelimit.Peek(ratelimit_pb2.PeekRequest(caller=self.caller))
        metrics = {f"METRIC_{metric.upper()}": name for name, metric in LIMITS.items()}
        return {
            metrics[limit_pb2.Metric.Name(status.metric)]: CAPACITY - status.remaining
            for status in peeked.statuses
        }

    def reservations(self) -> Counter[str]:
        """Reservations by state: open, settled or released."""
        records = self.services["ratelimit"].servicer()._limiter._store._records
        return Counter(record.state for record in records.values())

    def holds(self) -> Counter[str]:
        """Holds by state, as billing's database has them."""
        names = {1: "open", 2: "orphaned", 3: "captured", 4: "voided", 5: "barred"}
        with sqlite3.connect(self.data_dir / "billing.db") as database:
            rows = database.execute("select state, count(*) from holds group by state").fetchall()
        database.close()
        return Counter({names[state]: count for state, count in rows})

    def served(self) -> dict[str, Record]:
        """The simulator's log by attempt."""
        return {record.request_id: record for record in self.simulator.ledger.since(0) if record.api}

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()


async def key_of(
    accounts: Any, organization_id: str, user_id: str = "", **fields: Any
) -> tuple[tuple[tuple[str, str], ...], caller_pb2.Caller]:
    """A key as metadata, and whose it is: an organisation's or a user's, who need not exist before."""
    for user in dict.fromkeys(("", user_id)):
        account = account_service_pb2.Account(organization_id=organization_id, user_id=user)
        await accounts.CreateAccount(account_service_pb2.CreateAccountRequest(account=account))
    key = account_service_pb2.Key(organization_id=organization_id, user_id=user_id, **fields)
    made = await accounts.CreateKey(account_service_pb2.CreateKeyRequest(key=key))
    caller = caller_pb2.Caller(organization_id=organization_id, user_id=user_id, key_id=made.key.key_id)
    return (("authorization", f"Bearer {made.token}"),), caller


async def entries_of(bank: Any, organization_id: str) -> list[usage_pb2.LedgerEntry]:
    """The whole ledger of an organisation."""
    entries: list[usage_pb2.LedgerEntry] = []
    token = ""
    where = usage_pb2.UsageFilter(organization_id=organization_id)
    while True:
        page = await bank.ListUsage(
            billing_pb2.ListUsageRequest(filter=where, page_size=1000, page_token=token)
        )
        entries.extend(page.entries)
        if not (token := page.next_page_token):
            return entries


@asynccontextmanager
async def in_process(
    data_dir: Path,
    router: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    *,
    others: Mapping[str, Any] | None = None,
) -> AsyncIterator[InProcessSuite]:
    """`others`: the sections of ratelimit and billing, instead of limits that refuse nothing and one price for all."""
    simulator = Simulator(Models())
    with pytest.MonkeyPatch.context() as patch:
        # What is counted at a test's end is not forgotten before it, on however slow a machine.
        patch.setattr(memory, "REMEMBERED_US", 3600 * 10**6)
        async with simulating(simulator) as base_url:
            config = data_dir / "headgate.json"
            config.write_text(
                json.dumps(
                    _configuration(router) if others is None else {"router": dict(router), **others}
                ).replace("simulator:", base_url)
            )
            shared = {"HEADGATE_CONFIG": str(config), "HEADGATE_DATA_DIR": str(data_dir)}
            quick = {
                f"{prefix_of(name)}{setting}": value
                for name in SERVICES
                for setting, value in (("LAME_DUCK_SECONDS", "0"), ("DRAIN_SECONDS", "0.2"))
            }
            # One loop does the work of five processes: what is slow here is no peer that is lost.
            quick["HEADGATE_ROUTER_PEER_TIMEOUT_SECONDS"] = "10"
            quick["HEADGATE_ROUTER_PEER_TIMEOUT_FLOOR_SECONDS"] = "10"
            suite = InProcessSuite(data_dir, simulator, {})
            try:
                for name in SERVICES:
                    peers = {
                        f"HEADGATE_ROUTER_{peer.upper()}_ADDRESS": service.address
                        for peer, service in suite.services.items()
                        if name == "router"
                    }
                    service = ServiceInLoop(name, {**shared, **quick, **peers, **(environ or {})})
                    await service.start()
                    suite.services[name] = service
                await suite.open()
                yield suite
            finally:
                await suite.close()
                for service in reversed(suite.services.values()):
                    await service.stop()


def _configuration(router: Mapping[str, Any]) -> dict[str, Any]:
    window = {"maximum": CAPACITY, "window": "24h"}
    limits = [
        {"limit_id": name, "metric": metric, "per": ["organization"], "sliding_window": window}
        for name, metric in LIMITS.items()
    ]
    models = sorted({target["model"] for target in router["targets"].values()})
    billed_as = sorted({declared.get("billed_as", name) for name, declared in router["providers"].items()})
    rates = {"input": "3", "output": "15"}
    prices = [
        {"provider": provider, "model": model, "tiers": [rates]} for provider in billed_as for model in models
    ]
    return {"router": dict(router), "ratelimit": {"limits": limits}, "billing": {"prices": prices}}
