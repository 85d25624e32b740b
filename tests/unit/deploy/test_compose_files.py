"""What compose.yaml mounts is there, and is what the programs in the containers read."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from services._runtime.configuration.config import Section, read_section
from services._runtime.configuration.sections import refuse_keys
from services.billing.config import BillingSection
from services.ratelimit.config import RateLimitSection
from services.router.targets.config import RouterConfig
from tests.unit.deploy.compose_file import KINDS, ROOT, SECRETS, compose, port, service
from tests.unit.deploy.conftest import Generate

INSTALLATION = ROOT / "deploy" / "headgate.yaml"
SECTIONS: dict[str, type[Section]] = {
    "router": RouterConfig,
    "ratelimit": RateLimitSection,
    "billing": BillingSection,
}


def yaml_of(path: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / path).read_text()))


def test_every_mounted_file_is_in_the_repository() -> None:
    assert [c["file"] for c in compose()["configs"].values() if not (ROOT / c["file"]).is_file()] == []


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_what_a_service_mounts_is_declared(name: str) -> None:
    entry = service(name)
    assert {mounted["source"] for mounted in entry.get("configs", [])} <= set(compose()["configs"])
    assert set(entry.get("secrets", [])) <= set(compose()["secrets"])
    assert {volume.partition(":")[0] for volume in entry.get("volumes", [])} <= set(compose()["volumes"])
    assert set(entry["networks"]) <= set(compose()["networks"])


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_a_secret_that_is_named_is_mounted(name: str) -> None:
    entry = service(name)
    named = {
        value.removeprefix(SECRETS)
        for variable, value in entry.get("environment", {}).items()
        if variable.endswith("_FILE")
    }
    assert named <= set(entry.get("secrets", []))


def test_no_secret_is_written_in_the_file() -> None:
    for entry in compose()["services"].values():
        for name, value in entry.get("environment", {}).items():
            if re.search("TOKEN|PASSWORD|PEPPER|SECRET|API_KEY", name):
                assert name.endswith("_FILE")
                assert value.startswith(SECRETS)
    assert {tuple(secret) for secret in compose()["secrets"].values()} == {("file",)}


def test_the_script_writes_every_secret(secrets: Path) -> None:
    wanted = {Path(secret["file"]) for secret in compose()["secrets"].values()}
    assert {path.parent for path in wanted} == {Path("deploy/secrets")}
    written = {path.name for path in secrets.iterdir()} - {"generate"}
    assert written == {path.name for path in wanted}


def test_secrets_can_be_read_in_a_container_and_not_beside_it(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir() if path.name != "generate"}
    assert modes == {0o444}


def test_secrets_are_kept_and_a_providers_key_is_replaced(generate: Generate) -> None:
    first = {path.name: path.read_text() for path in generate(OPENAI_API_KEY="sk-old").iterdir()}
    assert generate() is not None
    folder = generate(OPENAI_API_KEY="sk-new")
    second = {path.name: path.read_text() for path in folder.iterdir()}
    assert second == {**first, "openai_api_key": "sk-new"}
    assert first["internal_token"] != first["cache_key_secret"]


def test_git_sees_no_secret() -> None:
    ignored = (ROOT / "deploy" / "secrets" / ".gitignore").read_text().split()
    assert ignored == ["*", "!.gitignore", "!generate"]


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_the_configuration_is_one_that_the_services_read(name: str) -> None:
    read_section(INSTALLATION, name, SECTIONS[name])


def test_the_configuration_has_nothing_for_the_cache_which_reads_nothing() -> None:
    refuse_keys(INSTALLATION, "cache")


def test_credentials_are_secrets_that_the_router_mounts() -> None:
    providers = read_section(INSTALLATION, "router", RouterConfig).providers
    files = {str(p.api_key.file) for p in providers.values() if p.api_key is not None}
    assert files == {f"{SECRETS}openai_api_key", f"{SECRETS}anthropic_api_key"}
    assert {file.removeprefix(SECRETS) for file in files} <= set(service("router")["secrets"])


def test_prometheus_asks_every_service_where_it_answers() -> None:
    jobs = {job["job_name"]: job for job in yaml_of("deploy/prometheus/prometheus.yml")["scrape_configs"]}
    found = {
        (name, sd["type"], sd["port"])
        for job in jobs.values()
        for sd in job.get("dns_sd_configs", [])
        for name in sd["names"]
    }
    assert found == {(name, "A", port(kind.defaults.metrics_listen)) for name, kind in KINDS.items()}
    (target,) = jobs["traces"]["static_configs"][0]["targets"]
    host, _, number = target.partition(":")
    assert host in compose()["services"]
    exporter = yaml_of("deploy/otel/collector.yaml")["exporters"]["prometheus"]["endpoint"]
    assert int(number) == port(exporter)


def test_the_collectors_pipelines_are_made_of_what_it_declares() -> None:
    collector = yaml_of("deploy/otel/collector.yaml")
    assert set(collector) == {"receivers", "processors", "connectors", "exporters", "service"}
    assert port(collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]) == 4317
    connectors, used = set(collector["connectors"]), set()
    for pipeline in collector["service"]["pipelines"].values():
        assert set(pipeline) == {"receivers", "processors", "exporters"}
        assert set(pipeline["receivers"]) <= set(collector["receivers"]) | connectors
        assert set(pipeline["processors"]) <= set(collector["processors"])
        assert set(pipeline["exporters"]) <= set(collector["exporters"]) | connectors
        used |= {name for part in pipeline.values() for name in part}
    declared = {n for k in ("receivers", "processors", "connectors", "exporters") for n in collector[k]}
    assert used == declared


def test_the_collector_limits_its_memory_below_its_containers() -> None:
    limit = yaml_of("deploy/otel/collector.yaml")["processors"]["memory_limiter"]["limit_mib"]
    container = service("otel-collector")["deploy"]["resources"]["limits"]["memory"]
    assert limit < int(container.removesuffix("M"))
    for pipeline in yaml_of("deploy/otel/collector.yaml")["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
