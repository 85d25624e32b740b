"""What `headgate up` leaves on disk, and what its processes have in their environment, tells no secret to others."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.installation import SERVICES
from tests.support.suite import RunningSuite, StartSuite

pytestmark = pytest.mark.timeout(180)
# The test's own, beside the installation's.
NOT_OURS = {"up.log", "test.yaml"}
TOKEN, PEPPER, KEY_SECRET = "the-token-" + "t" * 32, "the-pepper-of-keys", "the-secret-of-the-cache"
PROVIDERS_KEY, STRANGE = "sk-of-the-provider", "what-the-shell-has-for-others"
CONFIG = """\
router:
  providers:
    simulator: {api: openai, base_url: "http://127.0.0.1:8089/v1", api_key: {env: MY_PROVIDERS_KEY}}
  targets:
    small: {provider: simulator, model: sim-small}
  models:
    fast: {targets: [small]}
"""


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(data_dir: Path) -> dict[str, str]:
    """Everything in the folder, and itself, that others may touch."""
    return {
        str(path.relative_to(data_dir)): f"{stat.S_IMODE(path.stat().st_mode):04o}"
        for path in (data_dir, *data_dir.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) & 0o077 and path.name not in NOT_OURS
    }


def use(suite: RunningSuite) -> None:
    assert suite.headgate("complete", "Hello").returncode == 0


@pytest.mark.usefixtures("wide_umask")
def test_every_file_is_the_owners_alone_under_a_wide_umask_and_after_an_open_past(
    start_suite: StartSuite, tmp_path: Path
) -> None:
    data_dir = tmp_path / "suite"
    with start_suite() as suite:
        use(suite)
        assert open_to_others(data_dir) == {}
        kept = {path.name for path in data_dir.rglob("*")}
    assert {
        "billing.db",
        "billing.db-wal",
        "billing.pepper",
        "key.secret",
        "credentials",
        "router.log",
    } <= kept
    assert {"internal_token", "addresses.json", "config.yaml", "spool", "lock"} <= kept
    assert open_to_others(data_dir) == {}

    (data_dir / "spool" / "refused.jsonl").write_text("{}\n")
    ours = [path for path in data_dir.rglob("*") if path.name not in NOT_OURS]
    for path in (data_dir, *ours):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with start_suite() as suite:
        use(suite)
        assert open_to_others(data_dir) == {}
        said = suite.told()
        assert f"{data_dir} was open to others (0755), and is closed now (0700)" in said
        assert "billing.db was open to others (0644), and is closed now (0600)" in (
            suite.installation.logs / "billing.log"
        ).read_text("utf-8")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux shows environments in /proc")
def test_each_process_has_its_own_secrets_alone_and_those_in_files(start_suite: StartSuite) -> None:
    given = {
        "HEADGATE_INTERNAL_TOKEN": TOKEN,
        "HEADGATE_BILLING_KEY_PEPPER": PEPPER,
        "HEADGATE_CACHE_KEY_SECRET": KEY_SECRET,
        "MY_PROVIDERS_KEY": PROVIDERS_KEY,
        "SOMEBODY_ELSES_KEY": STRANGE,
    }
    with start_suite(environ=given, config=CONFIG) as suite:
        use(suite)
        seen = {name: environment_of(suite.pid(name)) for name in (*SERVICES, "simulator")}
        secrets = {*given.values(), suite.api_key}
        told = {name: {each for each in secrets if each in "\n".join(seen[name].values())} for name in seen}
        nobody: set[str] = set()
        assert told == {**dict.fromkeys(seen, nobody), "router": {PROVIDERS_KEY}}
        assert not any(name.startswith("HEADGATE_") for name in seen["simulator"])
        for name in SERVICES:
            assert Path(seen[name]["HEADGATE_INTERNAL_TOKEN_FILE"]).read_text().strip() == TOKEN
        assert Path(seen["billing"]["HEADGATE_BILLING_KEY_PEPPER_FILE"]).read_text().strip() == PEPPER
        assert open_to_others(suite.data_dir) == {}
        data_dir = suite.data_dir
    left = [path for path in data_dir.rglob("*") if path.is_file() and path.name not in NOT_OURS]
    assert not [path for path in left if TOKEN in path.read_text("utf-8", "replace")]
    assert not [path for path in left if PEPPER in path.read_text("utf-8", "replace")]


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
