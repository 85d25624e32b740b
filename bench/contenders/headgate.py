"""Headgate, started as a user starts it: `cli.suite`, on free ports, with embedded stores or on Redis and PostgreSQL."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.contenders import headgate_config
from bench.contenders.contender import Access, Contender, Place, Running
from bench.generator.window import Target
from bench.ledger import Ledger
from bench.processes import inherited
from bench.servers import PostgresServer, RedisServer
from cli import accounts
from cli.client import Peer, connected
from cli.installation import SERVICES
from cli.suite.signals import StopSignals
from cli.suite.suite import Suite, SuiteOptions

_SAMPLED = "0.01"
SECRET = "only-for-benchmarks"  # noqa: S105 - keys of the benchmark's own making


@dataclass(frozen=True, slots=True)
class Shape:
    """What differs between the Headgates of a run."""

    name: str = "headgate"
    is_shared: bool = False
    """On Redis and PostgreSQL."""
    workers: int = 1
    connections: int = 1
    """From the load to the router."""
    organizations: int = 50
    limits: int = 4
    budgets: int = 2
    environ: Mapping[str, str] = field(default_factory=dict)


def headgate(signals: StopSignals, shape: Shape) -> Contender:
    return Contender(shape.name, partial(_running, signals, shape))


@contextmanager
def _running(signals: StopSignals, shape: Shape, place: Place) -> Iterator[Running]:
    with ExitStack() as ending:
        stores: dict[str, int] = {}
        environ = {**inherited(), **everything_on(place.folder), **shape.environ}
        if shape.is_shared:
            redis = ending.enter_context(RedisServer.running(place.folder))
            postgres = ending.enter_context(PostgresServer.running())
            stores = {"redis": redis.pid, "postgresql": postgres.pid}
            environ |= _shared_stores(redis.url, postgres.url, shape.workers)
        suite = ending.enter_context(Suite(_options(place, shape), environ, signals))
        addresses = suite.start()
        token = suite.installation.internal_token({})
        billing = ending.enter_context(connected("billing", addresses.grpc["billing"], token))
        keys = make_keys(billing, shape.organizations)
        yield Running(
            shape.name,
            Target("headgate", addresses.grpc["router"], keys=keys, connections=shape.connections),
            {name: suite.children[name].pid for name in SERVICES} | stores,
            counted_as=shape.name,
            access=Access(addresses, token, place.folder / "data", SECRET, Ledger(billing)),
        )


def _options(place: Place, shape: Shape) -> SuiteOptions:
    return SuiteOptions(place.folder / "data", write_config(place, shape), simulator=False, free_ports=True)


def write_config(place: Place, shape: Shape) -> Path:
    config = place.folder / "headgate.yaml"
    text = headgate_config.document(
        f"{place.upstream}/{shape.name}",
        organizations=shape.organizations,
        limits=shape.limits,
        budgets=shape.budgets,
    )
    config.write_text(text, encoding="utf-8")
    return config


def make_keys(billing: Peer, organizations: int) -> tuple[str, ...]:
    made = (
        accounts.create_key(billing, headgate_config.organization(index), "user")
        for index in range(organizations)
    )
    return tuple(each.token for each in made)


def everything_on(folder: Path) -> dict[str, str]:
    """Traces are sampled into files; metrics, authentication, cache, limits and holds are on by default."""
    made = {"HEADGATE_BILLING_KEY_PEPPER": SECRET}
    for name in SERVICES:
        made[f"HEADGATE_{name.upper()}_TRACE_FILE"] = str(folder / f"{name}.traces.jsonl")
        made[f"HEADGATE_{name.upper()}_TRACE_SAMPLE_RATIO"] = _SAMPLED
    return made


def _shared_stores(redis: str, postgres: str, workers: int) -> dict[str, str]:
    return {
        "HEADGATE_CACHE_STORE": redis,
        "HEADGATE_CACHE_KEY_SECRET": SECRET,
        "HEADGATE_RATELIMIT_STORE": redis,
        "HEADGATE_BILLING_STORE": postgres,
        **{f"HEADGATE_{name.upper()}_WORKERS": str(workers) for name in SERVICES},
    }
