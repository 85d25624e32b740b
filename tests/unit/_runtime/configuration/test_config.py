"""One section of the YAML file, and errors that say where they are."""

from pathlib import Path

import pytest
from pydantic import Field

from services._runtime.configuration.config import ConfigError, Credential, Section, read_section
from services._runtime.configuration.settings import Secret


class Target(Section):
    model: str
    weight: int = Field(default=1, ge=0)
    api_key: Credential | None = None


class Router(Section):
    targets: tuple[Target, ...] = ()
    aliases: dict[str, str] = Field(default_factory=dict)


def written(folder: Path, text: str) -> Path:
    path = folder / "headgate.yaml"
    path.write_text(text)
    return path


def problem(folder: Path, text: str) -> str:
    path = written(folder, text)
    with pytest.raises(ConfigError) as raised:
        read_section(path, "router", Router)
    return str(raised.value).replace(str(path), "FILE")


def test_a_section_becomes_its_model_and_other_sections_are_not_looked_at(tmp_path: Path) -> None:
    text = "billing: {anything: 1}\nrouter:\n  targets:\n    - {model: m, weight: 3}\n  aliases: {fast: m}\n"
    router = read_section(written(tmp_path, text), "router", Router)
    assert router.targets[0].weight == 3
    assert router.aliases == {"fast": "m"}


@pytest.mark.parametrize("text", ["", "cache: {}\n", "router:\n"])
def test_an_absent_section_has_the_models_defaults(tmp_path: Path, text: str) -> None:
    assert read_section(written(tmp_path, text), "router", Router) == Router()
    assert read_section(None, "router", Router) == Router()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "router:\n  targets:\n    - model: m\n      wieght: 3\n",
            "FILE:4: router.targets.0.wieght: unknown key; did you mean `weight`?",
        ),
        (
            "router:\n  targets:\n    - model: m\n      weight: many\n",
            "FILE:4: router.targets.0.weight: Input should be a valid integer",
        ),
        ("router:\n  targets:\n    - weight: 1\n", "FILE:3: router.targets.0.model: Field required"),
        ("router:\n  aliases: 3\n", "FILE:2: router.aliases: Input should be a valid dictionary"),
        ("router:\n  aliases: {a: b}\n  aliases: {c: d}\n", "FILE:3: aliases: stands already on line 2"),
        ("router:\n  targets: [\n", "FILE:3:"),
        ("rooter:\n  targets: []\n", "FILE:1: rooter: no such section; did you mean `router:`?"),
        ("- a\n", "FILE:1: the file is a mapping of sections"),
        (
            "router:\n  targets:\n    - model: m\n      api_key: sk-live-123\n",
            "FILE:4: router.targets.0.api_key: a credential is named, never written",
        ),
        (
            "router:\n  targets:\n    - model: m\n      api_key: {env: A, file: b}\n",
            "FILE:4: router.targets.0.api_key: name exactly one source",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_field_and_remedy(tmp_path: Path, text: str, says: str) -> None:
    told = problem(tmp_path, text)
    assert told.startswith(says)
    assert "sk-live-123" not in told


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        read_section(tmp_path / "absent.yaml", "router", Router)


def test_a_credential_is_found_where_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n")
    assert Credential(env="KEY").resolve({"KEY": "v"}) == Secret("v")
    assert Credential(file=file).resolve({}) == Secret("from-file")
    with pytest.raises(ConfigError, match="KEY is not set"):
        Credential(env="KEY").resolve({})
