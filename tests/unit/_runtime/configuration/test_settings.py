"""Settings out of the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from services._runtime.configuration.settings import (
    ProcessSettings,
    Secret,
    SettingsError,
    describe,
    read_settings,
    read_shared,
    setting,
)

PREFIX = "HEADGATE_SAMPLE_"


@dataclass(frozen=True, kw_only=True)
class SampleSettings(ProcessSettings):
    listen: str = setting("127.0.0.1:50099", "where")
    store: Literal["memory", "redis"] = setting("memory", "which store")
    pepper: Secret | None = setting(None, "what keys are hashed with")
    peers: tuple[str, ...] = setting((), "addresses")
    ratio: float = setting(0.5, "a share", minimum=0, maximum=1)
    capacity: int = setting(about="how many; there is no default")


def read(**variables: str) -> SampleSettings:
    environ = {PREFIX + name: value for name, value in variables.items()}
    return read_settings(SampleSettings, PREFIX, environ | {"HOME": "/", "HEADGATE_OTHER_X": "1"})


def problem(**variables: str) -> str:
    with pytest.raises(SettingsError) as raised:
        read(**({"CAPACITY": "1"} | variables))
    return str(raised.value)


def test_each_type_is_read_and_the_rest_has_its_default(tmp_path: Path) -> None:
    settings = read(
        STORE="redis",
        PEERS="a:1, b:2,",
        RATIO="0.25",
        CAPACITY="7",
        REFLECTION="false",
        TLS_CERT_FILE=str(tmp_path),
        PEPPER="p",
    )
    assert (settings.store, settings.peers, settings.ratio, settings.capacity) == (
        "redis",
        ("a:1", "b:2"),
        0.25,
        7,
    )
    assert (settings.reflection, settings.tls_cert_file, settings.pepper) == (False, tmp_path, Secret("p"))
    assert (settings.listen, settings.workers) == ("127.0.0.1:50099", 1)


def test_an_empty_variable_counts_as_absent() -> None:
    assert read(CAPACITY="1", STORE="", PEPPER="").store == "memory"


def test_an_unknown_variable_is_refused_with_the_nearest_known_one() -> None:
    assert (
        problem(LISTN="x") == "HEADGATE_SAMPLE_LISTN is not a setting; did you mean HEADGATE_SAMPLE_LISTEN?"
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("STORE", "mysql", "'mysql' is not one of memory, redis"),
        ("WORKERS", "two", "'two' is not a whole number"),
        ("WORKERS", "0", "0 is below 1"),
        ("RATIO", "1.5", "1.5 is above 1"),
        ("RATIO", "nan", "nan is below 0"),
        ("REFLECTION", "maybe", "'maybe' is not one of true"),
        ("PEPPER_FILE", "/nonexistent/pepper", "No such file"),
    ],
)
def test_a_malformed_value_names_the_variable_and_what_it_takes(name: str, value: str, says: str) -> None:
    text = problem(**{name: value})
    assert text.startswith(PREFIX + name.removesuffix("_FILE"))
    assert says in text


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        read(STORE="x", RATIO="y", NONSENSE="z")
    assert len(raised.value.problems) == 4
    assert any("HEADGATE_SAMPLE_CAPACITY is not set: how many" in text for text in raised.value.problems)


def test_a_secret_comes_from_a_file_too_but_not_from_both(tmp_path: Path) -> None:
    file = tmp_path / "pepper"
    file.write_text("from-file\n")
    assert read(CAPACITY="1", PEPPER_FILE=str(file)).pepper == Secret("from-file")
    assert "not both" in problem(PEPPER="x", PEPPER_FILE=str(file))


def test_a_secret_never_prints() -> None:
    settings = read(CAPACITY="1", PEPPER="top-secret")
    assert "top-secret" not in f"{settings} {settings.pepper} {settings!r}"
    assert settings.pepper is not None
    assert settings.pepper.reveal() == "top-secret"


def test_every_variable_is_described_with_its_type_default_and_help() -> None:
    rows = {row.name: row for row in describe(SampleSettings, PREFIX)}
    assert rows[PREFIX + "STORE"].type == "memory | redis"
    assert rows[PREFIX + "STORE"].default == "memory"
    assert rows[PREFIX + "CAPACITY"].default == "(required)"
    assert PREFIX + "PEPPER_FILE" in rows
    assert all(row.help for row in rows.values())


def test_shared_settings_stand_beside_each_services_own() -> None:
    shared = read_shared(
        {"HEADGATE_DATA_DIR": "/data", "HEADGATE_ROUTER_LISTEN": "x", "HEADGATE_INTERNAL_TOKEN": "t" * 32}
    )
    assert (shared.data_dir, shared.config, shared.internal_token) == (Path("/data"), None, Secret("t" * 32))


def test_a_misspelt_shared_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="did you mean HEADGATE_CONFIG"):
        read_shared({"HEADGATE_CONFG": "x"})


@pytest.mark.parametrize("characters", [1, 31])
def test_a_token_that_could_be_guessed_is_refused_wherever_it_comes_from(
    characters: int, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("t" * characters)
    for environ in (
        {"HEADGATE_INTERNAL_TOKEN": "t" * characters},
        {"HEADGATE_INTERNAL_TOKEN_FILE": str(tmp_path / "token")},
    ):
        with pytest.raises(SettingsError, match="HEADGATE_INTERNAL_TOKEN has fewer than 32 characters"):
            read_shared(environ)
