"""The router's process: `python -m services.router`."""

import asyncio
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.router.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from headgate.router.v1.router_service_pb2_grpc import add_RouterServiceServicer_to_server
from services._runtime.calling.channel import Caller, open_channel
from services._runtime.calling.guard import Guard
from services._runtime.calling.pace import Pace
from services._runtime.calling.readiness import missing_peers
from services._runtime.configuration.settings import SharedSettings
from services._runtime.private import private_folder
from services._runtime.process.apart import apart
from services._runtime.process.run import Application, run
from services._runtime.rpc.server import Service
from services._runtime.telemetry.masking import Masking
from services._runtime.telemetry.telemetry import Telemetry
from services.router.accounts.authentication import KeyAuthentication
from services.router.accounts.known_costs import KnownCosts
from services.router.accounts.limit_rules import LimitRules
from services.router.accounts.limit_settlement import LimitSettlements
from services.router.accounts.mine import Mine
from services.router.accounts.refused import RefusedFiles
from services.router.accounts.revocation import LOOK_EVERY_SECONDS, Revocations
from services.router.accounts.settlement import Settlements
from services.router.accounts.spool import open_spool
from services.router.accounts.wrong_keys import WrongKeys
from services.router.admission import Admission, AdmissionPolicy
from services.router.checkpoints import Checkpoints
from services.router.failover import Clock, Failover
from services.router.grpc_peers import Connection, GrpcAccounts, GrpcBilling, GrpcCache, GrpcRateLimit
from services.router.grpc_records import GrpcRecords
from services.router.holding import AnswerBytes
from services.router.metrics import RouterMetrics, RouterState
from services.router.pipeline import Pipeline
from services.router.providers import registry
from services.router.reserving import Reserving
from services.router.servicer import JobServicer, RouterServicer
from services.router.settings import RouterSettings
from services.router.targets.catalog import build_catalog
from services.router.targets.declaration import Declaration
from services.router.targets.health import TargetHealth
from services.router.targets.provider import Provider

# Of the time to drain, what streams have to end by themselves; in the rest those that did not are told why they end.
_SHARE = 0.8
# Workers of a peer share one port, and a connection leads to one of them.
_CONNECTIONS_PER_PEER = 4
ROUTER, JOBS = "headgate.router.v1.RouterService", "headgate.router.v1.JobService"


async def compose(settings: RouterSettings, shared: SharedSettings, telemetry: Telemetry) -> Application:
    declared = _declared(shared.config)
    token = shared.internal_token
    masking = Masking([*declared.secrets(), *([token.reveal()] if token is not None else [])])
    providers = {name: registry.build(name, each, masking) for name, each in declared.providers.items()}
    catalog = build_catalog(declared, providers)
    health = {target_id: TargetHealth() for target_id in catalog.targets}
    clock = Clock(time.monotonic, time.time_ns)
    metrics = RouterMetrics(telemetry.registry, telemetry.log, frozenset(catalog.models), masking)

    peers = connect_peers(settings, shared, telemetry)
    limits, cached, bank = (
        GrpcRateLimit(peers["ratelimit"]),
        GrpcCache(peers["cache"]),
        GrpcBilling(peers["billing"]),
    )
    accounts = GrpcAccounts(peers["billing"])
    channels = [channel for peer in peers.values() for channel in peer.channels]

    private_folder(shared.data_dir)
    spool_root = shared.data_dir / "spool"
    spool, adopted = open_spool(spool_root, settings.spool_max_bytes)
    if adopted:
        telemetry.log.info("usage of an earlier process will be booked", records=adopted)
    refused = RefusedFiles(spool_root, settings.refused_max_bytes)
    settlements = Settlements(spool, bank, refused, telemetry.log, metrics.refused.inc)
    settlements.start()
    guards = {name: peer.guard for name, peer in peers.items()}
    telemetry.registry.register(RouterState(lambda: settlements.depth, health, guards))

    policy = AdmissionPolicy(
        cache_scope=cache.CacheScope.Value(f"CACHE_SCOPE_{declared.cache_scope.upper()}"),
        expected_output_tokens=settings.expected_output_tokens,
        max_output_tokens=settings.max_output_tokens,
        on_peer_lost=metrics.peer_lost,
    )
    records = GrpcRecords(peers["billing"], peers["ratelimit"])
    rules = LimitRules(records)
    reserving = Reserving(
        limits,
        rules,
        KnownCosts(clock.monotonic),
        admits_unseen=settings.limits_lost == "open",
        on_peer_lost=metrics.peer_lost,
    )
    admission = Admission(reserving, cached, bank, settlements, policy)
    failover = Failover(
        health=health,
        clock=clock,
        output_bound=admission.output_bound,
        spans=telemetry.tracing.span,
        cover_retry=admission.cover_retry,
        on_failure=metrics.attempt_failed,
        longest_stream_seconds=settings.longest_stream_seconds,
    )
    limit_settlements = LimitSettlements(limits, clock.monotonic, metrics.peer_lost)
    pipeline = Pipeline(
        catalog=catalog,
        admission=admission,
        failover=failover,
        limits=limit_settlements,
        cached=cached,
        settlements=settlements,
        observer=metrics,
        clock=clock,
        new_id=lambda: f"cmpl_{os.urandom(12).hex()}",
        linger_seconds=settings.linger_seconds,
        answers=AnswerBytes(settings.max_answer_bytes_in_flight),
    )
    mine = Mine(records, catalog.models, clock.epoch_ns)
    revocations = Revocations(
        records,
        lambda: pipeline.running_keys(clock.monotonic() - LOOK_EVERY_SECONDS),
        pipeline.end_key,
        clock.epoch_ns,
    )
    revocations.start()
    checkpoints = Checkpoints(settlements, pipeline.running, clock.epoch_ns)
    checkpoints.start()
    servicer = RouterServicer(pipeline, catalog, health, mine, settings.write_timeout_seconds)
    await asyncio.gather(warm_up(providers), await_peers(peers, settings, telemetry.log))
    await rules.look()
    rules.start()
    return Application(
        [
            Service(ROUTER, partial(add_RouterServiceServicer_to_server, servicer)),
            Service(JOBS, partial(add_JobServiceServicer_to_server, JobServicer())),
        ],
        authenticate=KeyAuthentication(
            accounts,
            WrongKeys(metrics.wrong_key, telemetry.log, clock.monotonic),
            clock.monotonic,
            clock.epoch_ns,
            fresh_seconds=settings.key_fresh_seconds,
            stale_seconds=settings.key_stale_seconds,
        ),
        on_drain=[lambda: pipeline.end_within(settings.lame_duck_seconds + _SHARE * settings.drain_seconds)],
        on_stop=[
            pipeline.drain,
            revocations.stop,
            checkpoints.stop,
            rules.stop,
            limit_settlements.stop,
            settlements.stop,
            *(channel.close for channel in channels),
            *(provider.close for provider in providers.values()),
        ],
    )


def _declared(config: Path | None) -> Declaration:
    if config is None:
        return Declaration()
    read: Declaration = apart(
        "services.router.targets.config:declared", config, dict(os.environ), saves="pydantic"
    )
    return read


def connect_peers(
    settings: RouterSettings, shared: SharedSettings, telemetry: Telemetry
) -> dict[str, Connection]:
    pace = Pace(time.monotonic, time.process_time)

    def connect(peer: str, address: str) -> Connection:
        channels = [
            open_channel(
                address, tls_ca_file=settings.peer_ca_file, max_message_bytes=settings.max_message_bytes
            )
            for _ in range(_CONNECTIONS_PER_PEER)
        ]
        return Connection(
            channels,
            Caller(shared.internal_token),
            Guard(peer, time.monotonic, telemetry.log),
            settings.peer_timeout_floor_seconds,
            settings.peer_timeout_seconds,
            telemetry.batches.of(peer),
            pace,
            settings.max_message_bytes,
        )

    return {peer: connect(peer, address) for peer, address in peer_addresses(settings).items()}


def peer_addresses(settings: RouterSettings) -> dict[str, str]:
    return {
        "ratelimit": settings.ratelimit_address,
        "cache": settings.cache_address,
        "billing": settings.billing_address,
    }


async def warm_up(providers: dict[str, Provider]) -> None:
    """Open connections before the first request; those that can't be opened are opened when they are needed."""
    try:
        async with asyncio.timeout(1.0):
            await asyncio.gather(*(provider.warm_up() for provider in providers.values()))
    except TimeoutError:
        return


async def await_peers(peers: dict[str, Connection], settings: RouterSettings, log: Any) -> None:
    """A router that serves before it has reached billing would refuse its first callers, for it knows no key yet."""
    addresses = peer_addresses(settings)

    def named(names: list[str]) -> list[str]:
        return [f"{name} at {addresses[name]}" for name in names]

    missing = await missing_peers(
        {name: peer.channels for name, peer in peers.items()},
        settings.start_wait_seconds,
        lambda names: log.info("waiting for peers", peers=named(names)),
    )
    if missing:
        log.warning("serves without peers that do not answer", peers=named(missing))


if __name__ == "__main__":
    sys.exit(run("router", RouterSettings, compose))
