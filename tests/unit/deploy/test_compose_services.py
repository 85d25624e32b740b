"""Every command, variable, address and limit in compose.yaml is one that the services accept and agree about."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from services._runtime.configuration.settings import (
    SettingsError,
    SharedSettings,
    describe,
    read_settings,
    read_shared,
)
from services._runtime.rpc.exposure import exposures
from services._runtime.rpc.server import checked_listen
from services.billing.settings import BillingSettings
from services.cache.settings import CacheSettings
from tests.unit.deploy.compose_file import KINDS, Kind, compose, ours, port, service, with_secrets_in

SCALED = sorted(KINDS)
STORES = ("redis-cache", "redis-limits", "postgres")
COMMAND_LINE_VARIABLES = {"HEADGATE_ROUTER_ADDRESS", "HEADGATE_RATELIMIT_ADDRESS", "HEADGATE_BILLING_ADDRESS"}
EVERY_SERVICE = sorted(compose()["services"])


def variables(entry: dict[str, Any]) -> dict[str, str]:
    return dict(entry.get("environment", {}))


@pytest.fixture(params=SCALED)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.mark.parametrize("name", sorted(ours()))
def test_the_command_is_a_module_that_can_be_run(name: str) -> None:
    entry = service(name)
    program, flag, module, *_ = entry.get("entrypoint", []) + entry["command"]
    assert (program, flag) == ("python", "-m")
    assert importlib.util.find_spec(f"{module}.__main__") is not None


@pytest.mark.parametrize("name", sorted(ours()))
def test_every_variable_is_one_that_is_read(name: str) -> None:
    shared = {variable.name for variable in describe(SharedSettings, "HEADGATE_")}
    own = {v.name for kind in KINDS.values() for v in describe(kind.settings, kind.prefix)}
    known = shared | (COMMAND_LINE_VARIABLES if name == "admin" else own)
    assert set(variables(service(name))) - known == set()


def test_a_service_starts_with_its_environment(kind: Kind, secrets: Path) -> None:
    environment = with_secrets_in(variables(service(kind.name)), secrets)
    settings = read_settings(kind.settings, kind.prefix, environment)
    assert checked_listen(settings, kind.prefix) == ("0.0.0.0", port(kind.defaults.listen))  # noqa: S104
    assert exposures(settings, read_shared(environment), kind.prefix, internal=kind.name != "router") == []
    assert port(settings.metrics_listen) == port(kind.defaults.metrics_listen)


def test_a_misspelt_variable_would_be_refused(kind: Kind, secrets: Path) -> None:
    environment = with_secrets_in(variables(service(kind.name)), secrets)
    with pytest.raises(SettingsError, match="is not a setting"):
        read_settings(kind.settings, kind.prefix, {**environment, f"{kind.prefix}LISTENS": "x"})


def test_all_services_ask_for_the_same_internal_token(secrets: Path) -> None:
    tokens = {
        read_shared(with_secrets_in(variables(service(name)), secrets)).internal_token for name in SCALED
    }
    assert len(tokens) == 1
    assert None not in tokens


def test_replicas_share_what_they_must(secrets: Path) -> None:
    billing = read_settings(
        BillingSettings, "HEADGATE_BILLING_", with_secrets_in(variables(service("billing")), secrets)
    )
    cache = read_settings(
        CacheSettings, "HEADGATE_CACHE_", with_secrets_in(variables(service("cache")), secrets)
    )
    assert billing.key_pepper is not None
    assert cache.key_secret is not None
    assert cache.is_shared


def test_the_ledger_is_the_database_that_runs_here(secrets: Path) -> None:
    environment = with_secrets_in(variables(service("billing")), secrets)
    url = read_settings(BillingSettings, "HEADGATE_BILLING_", environment).postgresql
    database = service("postgres")["environment"]
    assert url is not None
    assert (url.host, url.port) == ("postgres", 5432)
    assert (url.username, url.database) == (database["POSTGRES_USER"], database["POSTGRES_DB"])
    assert url.password == (secrets / "postgres_password").read_text()


def test_the_schema_is_migrated_on_the_same_ledger() -> None:
    migrate, billing = variables(service("migrate")), variables(service("billing"))
    assert migrate.items() <= billing.items()


@pytest.mark.parametrize("variable", ["HEADGATE_CACHE_STORE", "HEADGATE_RATELIMIT_STORE"])
def test_redis_stores_are_services_that_run_here(variable: str) -> None:
    name = variable.split("_")[1].lower()
    found = re.fullmatch(r"redis://([a-z-]+):6379/0", variables(service(name))[variable])
    assert found is not None
    assert found[1] in compose()["services"]
    assert found[1] in service(name)["depends_on"]


def test_limits_are_never_dropped_for_room() -> None:
    command = service("redis-limits")["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    cache = service("redis-cache")["command"]
    assert cache[cache.index("--maxmemory-policy") + 1] == "allkeys-lru"


@pytest.mark.parametrize("peer", ["cache", "ratelimit", "billing"])
def test_routers_find_their_peers_by_name_and_port(peer: str) -> None:
    for name in ("router", "admin"):
        environment = variables(service(name))
        prefix = "HEADGATE_ROUTER_" if name == "router" else "HEADGATE_"
        address = environment.get(f"{prefix}{peer.upper()}_ADDRESS")
        assert address == f"{peer}:{port(KINDS[peer].defaults.listen)}" or (name, peer) == ("admin", "cache")


def test_traces_go_to_the_collector(kind: Kind) -> None:
    endpoint = variables(service(kind.name))[f"{kind.prefix}OTLP_ENDPOINT"]
    assert endpoint == "http://otel-collector:4317"


def test_services_can_be_scaled(kind: Kind) -> None:
    entry = service(kind.name)
    assert entry["deploy"]["replicas"] >= 2
    assert "container_name" not in entry
    for published in entry.get("ports", []):
        first, last = map(int, published["published"].split("-"))
        assert last - first >= entry["deploy"]["replicas"]
        assert published["target"] == port(kind.defaults.listen)


def test_only_routers_and_prometheus_are_reached_from_outside_and_from_this_machine_alone() -> None:
    published = {name: entry["ports"] for name, entry in compose()["services"].items() if "ports" in entry}
    assert sorted(published) == ["prometheus", "router"]
    assert {each["host_ip"] for ports in published.values() for each in ports} == {"127.0.0.1"}
    assert compose()["networks"]["inside"]["internal"] is True
    outside = {n for n, entry in compose()["services"].items() if "outside" in entry["networks"]}
    assert outside == {"prometheus", "router"}


def test_a_container_is_given_the_time_that_its_drain_takes(kind: Kind, secrets: Path) -> None:
    environment = with_secrets_in(variables(service(kind.name)), secrets)
    settings = read_settings(kind.settings, kind.prefix, environment)
    needed = settings.drain_seconds + settings.lame_duck_seconds + getattr(settings, "linger_seconds", 0.0)
    assert float(service(kind.name)["stop_grace_period"].removesuffix("s")) > needed


def test_health_is_asked_of_the_service_on_its_port(kind: Kind) -> None:
    test = service(kind.name)["healthcheck"]["test"]
    assert test[:4] == ["CMD", "python", "-m", "services._runtime.process.probe"]
    assert port(test[4]) == port(kind.defaults.listen)
    assert re.fullmatch(rf"headgate\.{kind.name}\.v1\.\w+Service", test[5])


@pytest.mark.parametrize("name", EVERY_SERVICE)
def test_what_is_waited_for_can_come_about(name: str) -> None:
    for other, how in service(name).get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in service(other)
        if how["condition"] == "service_completed_successfully":
            assert service(other)["restart"] == "no"


@pytest.mark.parametrize("name", EVERY_SERVICE)
def test_every_container_is_bounded_and_comes_back(name: str) -> None:
    entry = service(name)
    assert set(entry["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert entry["restart"] == ("no" if name in {"migrate", "admin"} else "unless-stopped")
    assert entry["read_only"] is True


@pytest.mark.parametrize("name", [*STORES, "otel-collector", "prometheus"])
def test_images_of_others_are_pinned(name: str) -> None:
    assert re.search(r":v?\d+(\.\d+)*(-alpine)?$", service(name)["image"])
