"""Settings that can't work together are refused by name, and the key secret is kept or asked for."""

import asyncio
import stat
from pathlib import Path

import pytest

from services._runtime.configuration.config import ConfigError
from services._runtime.configuration.settings import SettingsError, SharedSettings, read_settings
from services._runtime.process.run import run
from services._runtime.telemetry.telemetry import make_telemetry
from services.cache.__main__ import compose, keeps_state_in_process
from services.cache.secret import keep_secret
from services.cache.settings import PREFIX, CacheSettings

SECRET = "a secret of the test"
REDIS = "redis://localhost:6379/0"


def settings(**variables: str) -> CacheSettings:
    environ = {PREFIX + name.upper(): value for name, value in variables.items()}
    return read_settings(CacheSettings, PREFIX, environ)


def test_without_variables_it_is_one_process_with_a_memory_store() -> None:
    made = settings()
    assert (made.listen, made.metrics_listen, made.store) == ("127.0.0.1:50052", "127.0.0.1:9465", "memory")
    assert made.organization_bytes * 2 == made.max_bytes
    assert keeps_state_in_process(made) == "HEADGATE_CACHE_STORE=memory"


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"store": "memcached://x"}, "HEADGATE_CACHE_STORE: 'memcached://x' is neither memory nor redis://"),
        ({"store": REDIS, "workers": "2"}, "HEADGATE_CACHE_KEY_SECRET is not set: several processes"),
        ({"key_secret": "too short"}, "HEADGATE_CACHE_KEY_SECRET has fewer than 16 characters"),
        (
            {"default_ttl_seconds": "99", "max_ttl_seconds": "98"},
            "HEADGATE_CACHE_DEFAULT_TTL_SECONDS is above",
        ),
        ({"max_bytes": "1"}, "HEADGATE_CACHE_MAX_BYTES: 1 is below"),
        ({"max_byte": "1"}, "did you mean HEADGATE_CACHE_MAX_BYTES"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(variables: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**variables)
    assert problem in str(refused.value)
    assert "too short" not in str(refused.value)


def test_the_memory_store_with_several_workers_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"HEADGATE_CACHE_WORKERS": "2"}
    assert run("cache", CacheSettings, compose, single_process=keeps_state_in_process, environ=environ) == 2
    assert "HEADGATE_CACHE_STORE=memory keeps its state in one process" in capsys.readouterr().err


def test_several_workers_on_redis_with_a_secret_are_fine() -> None:
    made = settings(store=REDIS, workers="2", key_secret=SECRET)
    assert keeps_state_in_process(made) is None
    assert SECRET not in repr(made)


async def test_a_key_under_cache_in_the_file_is_refused_by_name_and_line(tmp_path: Path) -> None:
    file = tmp_path / "headgate.yaml"
    file.write_text("cache:\n  ttl: 5\n")
    shared = SharedSettings(config=file, data_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"headgate.yaml:2: cache.ttl: unknown key"):
        await compose(settings(), shared, make_telemetry("cache"))


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "data" / "cache" / "key.secret"
    secret = keep_secret(path)
    assert (len(secret), keep_secret(path)) == (32, secret)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert keep_secret(tmp_path / "other") != secret


async def test_processes_that_start_at_once_keep_the_same_secret(tmp_path: Path) -> None:
    path = tmp_path / "key.secret"
    secrets = await asyncio.gather(*[asyncio.to_thread(keep_secret, path) for _ in range(8)])
    assert set(secrets) == {path.read_bytes()}


def test_a_file_that_is_no_secret_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "key.secret"
    path.write_bytes(b"")
    with pytest.raises(SettingsError, match="remove it, or set HEADGATE_CACHE_KEY_SECRET"):
        keep_secret(path)
    with pytest.raises(SettingsError, match="can't be kept"):
        keep_secret(path / "below a file")
