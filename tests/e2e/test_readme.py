"""What the README says can be pasted, and is true."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import which

import pytest

from cli.installation import DEFAULT_ADDRESSES, SERVICES
from services._runtime.configuration.environment import describe
from services._runtime.configuration.settings import SharedSettings
from services.billing.settings import BillingSettings
from services.cache.settings import CacheSettings
from services.ratelimit.settings import RateLimitSettings
from services.router.settings import RouterSettings
from tests.support import readme
from tests.support.suite import RunningSuite, clean_environment, run_headgate

# The first test starts the suite, on a machine that others use too.
pytestmark = pytest.mark.timeout(300)

SETTINGS = {
    "router": RouterSettings,
    "cache": CacheSettings,
    "ratelimit": RateLimitSettings,
    "billing": BillingSettings,
}
# How each statement begins, or what only it contains, and what it must print.
PRINTED: Mapping[str, tuple[str, ...]] = {
    "headgate complete": ("tokens", "cache", "$"),
    "headgate limits": ("default/requests-per-key", "Left", "Free again"),
    "headgate usage --mine": ("Usage of my user since", "Model", "Cost"),
    "headgate usage --by": ("User", "Model", "Cost", "sim-small"),
    "headgate targets": ("sim-large", "healthy"),
    "headgate holds": ("Hold", "Expires"),
    "export KEY=$(headgate keys create)": ("this is the only time that it is shown",),
    "50051 list": ("headgate.router.v1.RouterService",),
    "describe headgate.router.v1.CompletionRequest": ("is a message:", "string prompt = 2"),
    "RouterService/StreamComplete": ('"started"', '"text"', '"finished"', "OUTCOME_COMPLETE"),
    "RouterService/ListMyLimits": ("default/requests-per-key", '"remaining"', "SCOPE_KEY"),
    "RouterService/GetMyUsage": ('"costNanos"', '"model": "sim-small"'),
    "RouterService/ListTargets": ("TARGET_STATE_HEALTHY",),
    "BillingService/QueryUsage": ('"userId": "default"', '"costNanos"'),
    "ghz --insecure": ("[OK]", "20 responses"),
}
_SETTING_UP = ("make ", "export PATH=")
_TOOLS = ("grpcurl", "ghz")
_MARK = "\x1e"


@pytest.fixture(scope="module")
def pasted(suite: RunningSuite, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Statements and what they printed, pasted into one shell; without those whose tool is absent."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".headgate").symlink_to(suite.data_dir)
    (folder / ".venv").symlink_to(sys.prefix)
    absent = tuple(f"{tool} " for tool in _TOOLS if which(tool) is None)
    wanted = [each for each in readme.statements() if not each.startswith(("make ", *absent))]
    script = "\n".join(["set -e", *(f"printf '{_MARK}'\n{at_home_of(suite, each)}" for each in wanted)])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return dict(zip(wanted, done.stdout.split(_MARK)[1:], strict=True))


def at_home_of(suite: RunningSuite, text: str) -> str:
    """With the suite's addresses where the README has the default ones."""
    for service, address in DEFAULT_ADDRESSES.items():
        text = text.replace(address, suite.addresses.grpc[service])
    return text


@pytest.mark.parametrize("part", list(PRINTED))
def test_a_pasted_statement_prints_what_it_promises(part: str, pasted: Mapping[str, str]) -> None:
    (statement,) = [each for each in readme.statements() if part in each]
    if statement not in pasted:
        pytest.skip(f"{statement.split()[0]} is not installed")
    assert [words for words in PRINTED[part] if words not in pasted[statement]] == []


def test_no_statement_is_left_out() -> None:
    others = [each for each in readme.statements() if not each.startswith(_SETTING_UP)]
    assert [each for each in others if not any(part in each for part in PRINTED)] == []


def test_the_python_client_streams_tokens(suite: RunningSuite, tmp_path: Path) -> None:
    (program,) = readme.blocks("python")
    (tmp_path / "client.py").write_text(at_home_of(suite, program))
    environ = {"KEY": suite.new_key("python"), "PYTHONPATH": str(readme.ROOT / "gen/python")}
    printed_an_answer(output_of([sys.executable, "client.py"], tmp_path, environ))


def printed_an_answer(printed: str) -> None:
    answer, _, end = printed.rstrip().rpartition("\n")
    assert len(answer.split()) > 5, printed
    assert re.fullmatch(r"\s*[1-9]\d* tokens, [1-9]\d* nano-USD", end), printed


def test_links_lead_to_files_and_the_folders_named_exist() -> None:
    assert len(readme.links()) > 3
    assert [target for target in readme.links() if not (readme.ROOT / target).exists()] == []
    named = re.findall(r"^\| (`.+?) \|", readme.TEXT, re.MULTILINE)
    paths = [path for cell in named for path in re.findall(r"`([^`]+)`", cell)]
    assert len(paths) > 8
    places = (readme.ROOT, readme.ROOT / "services")
    assert [path for path in paths if not any((place / path).exists() for place in places)] == []


def test_the_diagram_has_the_ports_that_services_listen_on() -> None:
    (diagram,) = readme.blocks("mermaid")
    drawn = {name: f"127.0.0.1:{port}" for name, port in re.findall(r"<b>(\w+)</b> :(\d+)", diagram)}
    assert drawn == {name: SETTINGS[name]().listen for name in SERVICES} == DEFAULT_ADDRESSES


def test_make_help_lists_the_targets_that_are_named() -> None:
    listed = output_of(["make", "help"], readme.ROOT, {})
    named = set(re.findall(r"\bmake ([a-z]+)\b(?=`| +#|\n)", readme.TEXT))
    assert {"demo", "test", "up"} <= named
    assert [name for name in sorted(named) if not re.search(rf"^ +{name} ", listed, re.MULTILINE)] == []


def test_headgate_help_lists_the_commands_that_are_named_and_the_exit_codes() -> None:
    shown = run_headgate("--help").stdout
    named = {*re.findall(r"(?:^|\(|`)headgate ([a-z]+)", readme.TEXT, re.MULTILINE), "keys", "models"}
    assert {"complete", "limits", "usage", "targets"} <= named
    assert [name for name in sorted(named) if not re.search(rf"^\W+{name} ", shown, re.MULTILINE)] == []
    assert "Exit codes: 0 done" in shown


def test_variables_that_are_named_are_read_by_their_service() -> None:
    known = {variable.name for variable in describe(SharedSettings, "HEADGATE_")}
    for service, settings in SETTINGS.items():
        known |= {variable.name for variable in describe(settings, f"HEADGATE_{service.upper()}_")}
    named = set(re.findall(r"HEADGATE_[A-Z_]+[A-Z]", readme.TEXT))
    assert len(named) > 4
    assert sorted(named - known) == []


def output_of(command: list[str], folder: Path, environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
