"""The parts of `headgate up` that need no process: ports, plans, configuration, kept files."""

import json
from pathlib import Path

import pytest
import yaml

from cli.demo.activity import parse_activity
from cli.errors import CommandError
from cli.installation import DEFAULT_ADDRESSES, Addresses, Installation
from cli.suite import configuration, plans, ports
from cli.suite.signals import StopSignals
from cli.suite.suite import Suite, SuiteOptions
from services._runtime.configuration.config import read_section
from services._runtime.configuration.settings import describe
from services.router.targets.config import RouterConfig
from tests.unit.deploy.compose_file import KINDS, Kind


def test_an_offset_moves_every_default_port() -> None:
    listens = ports.choose({}, offset=100)
    assert listens.grpc["router"] == "127.0.0.1:50151"
    assert listens.metrics["billing"] == "127.0.0.1:9567"
    assert listens.simulator == "127.0.0.1:8189"
    assert listens.all_known


def test_free_ports_are_left_to_the_services() -> None:
    listens = ports.choose({}, free=True)
    assert {*listens.grpc.values(), *listens.metrics.values(), listens.simulator} == {"127.0.0.1:0"}
    assert not listens.all_known


def test_a_services_own_variable_comes_first() -> None:
    environ = {"HEADGATE_CACHE_LISTEN": "127.0.0.1:7000", "HEADGATE_CACHE_METRICS_LISTEN": ""}
    listens = ports.choose(environ, offset=5)
    assert (listens.grpc["cache"], listens.metrics["cache"]) == ("127.0.0.1:7000", "")


def test_an_offset_beyond_the_last_port_is_refused() -> None:
    with pytest.raises(CommandError, match="beyond port 65535"):
        ports.choose({}, offset=20_000)


def test_services_do_not_see_the_variables_of_commands() -> None:
    environ = {
        "HEADGATE_API_KEY": "k",
        "HEADGATE_ROUTER_ADDRESS": "a",
        "HEADGATE_ROUTER_WORKERS": "2",
        "PATH": "/bin",
    }
    assert plans.inherited(environ) == {"HEADGATE_ROUTER_WORKERS": "2", "PATH": "/bin"}


USERS = {
    "PATH": "/bin",
    "LC_ALL": "C.UTF-8",
    "OPENAI_API_KEY": "sk-1",
    "AWS_SECRET_ACCESS_KEY": "aws",
    "https_proxy": "http://stranger",
    "PGPASSWORD": "pg",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "HEADGATE_INTERNAL_TOKEN": "t",
    "HEADGATE_ROUTER_WORKERS": "2",
    "HEADGATE_CACHE_STORE": "redis://127.0.0.1",
    "HEADGATE_CACHE_KEY_SECRET": "c",
    "HEADGATE_BILLING_KEY_PEPPER": "p",
    "HEADGATE_CONFG": "misspelt",
}


@pytest.mark.parametrize(
    ("child", "seen"),
    [
        ("simulator", {"PATH", "LC_ALL"}),
        ("router", {"OPENAI_API_KEY", "SSL_CERT_FILE", "HEADGATE_ROUTER_WORKERS", "HEADGATE_CONFG"}),
        ("cache", {"SSL_CERT_FILE", "HEADGATE_CACHE_STORE", "HEADGATE_CONFG"}),
        ("ratelimit", {"SSL_CERT_FILE", "HEADGATE_CONFG"}),
        ("billing", {"SSL_CERT_FILE", "PGPASSWORD", "HEADGATE_CONFG"}),
    ],
)
def test_each_child_sees_its_own_of_the_users_environment(child: str, seen: set[str]) -> None:
    assert set(plans.own_environment(child, USERS, {"OPENAI_API_KEY"})) == {"PATH", "LC_ALL"} | seen


def test_a_providers_key_is_the_routers_only_where_the_configuration_names_it() -> None:
    assert "OPENAI_API_KEY" not in plans.own_environment("router", USERS, ())
    text = "router: {providers: {a: {api_key: {env: OPENAI_API_KEY}}, b: {api_key: {file: /x}}}, targets: [{env: B}]}"
    assert configuration.named_variables(text) == {"OPENAI_API_KEY", "B"}
    assert configuration.named_variables("router: {") == frozenset()


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_secret_that_a_service_takes_as_a_file_is_given_as_one(kind: Kind) -> None:
    files = {
        v.name.removesuffix("_FILE") for v in describe(kind.settings, kind.prefix) if v.name.endswith("_FILE")
    }
    taken = {v.name for v in describe(kind.settings, kind.prefix) if v.type == "secret"}
    assert taken <= files
    assert {kind.prefix + each for each in plans.SECRETS.get(kind.name, ())} == taken
    environ = dict.fromkeys(taken, "secret")
    assert plans.secrets_of(kind.name, environ) == environ
    assert plans.secrets_of(kind.name, {f"{name}_FILE": "/x" for name in taken} | environ) == {}


def test_a_token_is_taken_from_where_the_user_keeps_it_and_handed_over_as_a_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("from a file\n")
    assert handed_over(tmp_path, {plans.TOKEN: "from a variable"}) == "from a variable"
    assert handed_over(tmp_path, {f"{plans.TOKEN}_FILE": str(kept)}) == "from a file"
    assert len(handed_over(tmp_path, {})) >= 32
    with pytest.raises(CommandError, match="are both set"):
        handed_over(tmp_path, {plans.TOKEN: "t", f"{plans.TOKEN}_FILE": str(kept)})
    with pytest.raises(CommandError, match=r"HEADGATE_INTERNAL_TOKEN_FILE: .*No such file"):
        handed_over(tmp_path, {f"{plans.TOKEN}_FILE": str(tmp_path / "absent")})


def handed_over(folder: Path, environ: dict[str, str]) -> str:
    with StopSignals() as signals, Suite(SuiteOptions(folder, free_ports=True), environ, signals) as suite:
        told = suite._shared_variables()
        assert plans.TOKEN not in told
        return Path(told[f"{plans.TOKEN}_FILE"]).read_text(encoding="utf-8").strip()


def test_the_router_ends_first_and_the_simulator_last() -> None:
    names = ["simulator", "cache", "ratelimit", "billing", "router"]
    assert plans.stopping_order(names) == [["router"], ["cache", "ratelimit", "billing"], ["simulator"]]
    assert plans.stopping_order(["billing"]) == [["billing"]]


def test_a_child_that_starts_again_listens_where_it_was(tmp_path: Path) -> None:
    plan = plans.service_plan("cache", ports.choose({}, free=True), tmp_path, {}, {})
    again = plans.at_address(plan, "127.0.0.1:7000", "127.0.0.1:7001")
    assert again.environ["HEADGATE_CACHE_LISTEN"] == "127.0.0.1:7000"
    assert again.environ["HEADGATE_CACHE_METRICS_LISTEN"] == "127.0.0.1:7001"
    assert again.port_file == plan.port_file


def test_the_simulators_configuration_follows_its_address() -> None:
    text = configuration.for_simulator(configuration.demo_file(), "127.0.0.1:4711")
    addresses = {each["base_url"] for each in yaml.safe_load(text)["router"]["providers"].values()}
    assert addresses == {"http://127.0.0.1:4711/v1"}


@pytest.mark.parametrize(
    "keys", [["OPENAI_API_KEY"], ["ANTHROPIC_API_KEY"], ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"]]
)
def test_providers_whose_keys_are_set_make_a_valid_configuration(keys: list[str], tmp_path: Path) -> None:
    environ = dict.fromkeys(keys, "the secret itself")
    assert configuration.has_provider_key(environ)
    text = configuration.for_provider_keys(environ)
    assert "the secret itself" not in text
    (tmp_path / "made.yaml").write_text(text, encoding="utf-8")
    made = read_section(tmp_path / "made.yaml", "router", RouterConfig)
    assert [provider.api_key.env for provider in made.providers.values() if provider.api_key] == keys
    assert len(made.models) == len(keys)


def test_an_empty_provider_key_is_none() -> None:
    assert not configuration.has_provider_key({"OPENAI_API_KEY": ""})


def test_addresses_are_kept_for_other_commands_until_the_suite_ends(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    assert installation.address("billing") == DEFAULT_ADDRESSES["billing"]
    installation.write_addresses(Addresses({"billing": "127.0.0.1:7000"}, pids={"up": 1}))
    assert installation.address("billing") == "127.0.0.1:7000"
    assert json.loads(installation.addresses_file.read_text())["pids"] == {"up": 1}
    assert installation.addresses_file.stat().st_mode & 0o077 == 0
    installation.forget_run()
    assert installation.read_addresses() is None


def test_the_key_of_the_environment_wins_over_the_kept_one(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    assert installation.api_key({}) == ""
    installation.credentials_file.write_text("hg_kept_secret\n", encoding="utf-8")
    assert installation.api_key({}) == "hg_kept_secret"
    assert installation.api_key({"HEADGATE_API_KEY": "hg_mine_secret"}) == "hg_mine_secret"


EXPOSITION = """\
# TYPE headgate_rpc_requests_total counter
headgate_rpc_requests_total{rpc="/headgate.cache.v1.CacheService/Lookup",code="OK"} 4.0
headgate_rpc_requests_total{rpc="/headgate.cache.v1.CacheService/Lookup",code="UNAVAILABLE"} 1.0
headgate_rpc_requests_total{rpc="/grpc.health.v1.Health/Watch",code="OK"} 9.0
# TYPE headgate_rpc_duration_seconds summary
headgate_rpc_duration_seconds_sum{rpc="/headgate.cache.v1.CacheService/Lookup"} 0.5
headgate_rpc_duration_seconds_sum{rpc="/grpc.health.v1.Health/Watch"} 60.0
"""


def test_activity_counts_the_services_own_calls() -> None:
    activity = parse_activity(EXPOSITION)
    assert (activity.calls, activity.refused, activity.seconds) == ({"Lookup": 5}, 1, 0.5)
