"""Work done in a process of its own: what comes back, and what stays out of this one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services._runtime.configuration.environment import SettingsError
from services._runtime.configuration.sections import ConfigError
from services._runtime.process.apart import apart

HERE = "tests.unit._runtime.process.test_apart"
NOWHERE = "no.such.module"


def loud(word: str, number: int) -> dict[str, object]:
    print("not a part of the answer")  # noqa: T201
    return {"word": word, "number": number, "had_json": "json.tool" in sys.modules}


def refuse(path: Path) -> None:
    raise ConfigError([f"{path}:3: first", f"{path}:4: second"])


def refuse_settings() -> None:
    raise SettingsError(["HEADGATE_X: first", "HEADGATE_Y: second"])


def fail() -> None:
    raise RuntimeError("a defect")


@pytest.mark.parametrize("saves", [NOWHERE, "sys"])
def test_a_function_answers_the_same_here_and_apart(saves: str) -> None:
    assert apart(f"{HERE}:loud", "hi", 7, saves=saves) == {"word": "hi", "number": 7, "had_json": False}


@pytest.mark.parametrize("saves", [NOWHERE, "sys"])
def test_what_is_wrong_with_the_file_is_told_as_if_it_had_been_read_here(saves: str) -> None:
    with pytest.raises(ConfigError) as raised:
        apart(f"{HERE}:refuse", Path("headgate.yaml"), saves=saves)
    assert raised.value.problems == ("headgate.yaml:3: first", "headgate.yaml:4: second")


@pytest.mark.parametrize("saves", [NOWHERE, "sys"])
def test_what_is_wrong_with_the_environment_is_told_too(saves: str) -> None:
    with pytest.raises(SettingsError) as raised:
        apart(f"{HERE}:refuse_settings", saves=saves)
    assert raised.value.problems == ("HEADGATE_X: first", "HEADGATE_Y: second")


def test_a_defect_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        apart(f"{HERE}:fail", saves=NOWHERE)
    assert "RuntimeError: a defect" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("service", "spared"),
    [
        ("cache", {"pydantic", "redis", "rich", "opentelemetry.sdk", "multiprocessing.connection"}),
        ("ratelimit", {"pydantic", "redis", "rich", "opentelemetry.sdk", "multiprocessing.connection"}),
        (
            "billing",
            {
                "pydantic",
                "genai_prices",
                "asyncpg",
                "sqlalchemy.dialects.postgresql",
                "alembic",
                "rich",
                "opentelemetry.sdk",
            },
        ),
        ("router", {"pydantic", "yaml", "redis", "rich", "opentelemetry.sdk", "multiprocessing.connection"}),
    ],
)
def test_a_service_loads_nothing_that_it_may_not_need(service: str, spared: set[str]) -> None:
    asked = f"import json, sys; import services.{service}.__main__; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run((sys.executable, "-c", asked), capture_output=True, text=True, check=True)
    assert spared & set(json.loads(done.stdout)) == set()


def test_the_shipped_prices_are_read_without_keeping_what_reads_them() -> None:
    asked = (
        "import sys; from services.billing.catalog import load_catalog; assert load_catalog().price('openai', 'gpt-4o', 0);"
        "print(sorted({'pydantic', 'genai_prices'} & set(sys.modules)))"
    )
    done = subprocess.run((sys.executable, "-c", asked), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_new_database_is_brought_up_without_keeping_what_does_it(tmp_path: Path) -> None:
    asked = (
        "import asyncio, pathlib, sys; from services.billing.database import ready_database;"
        "from services.billing.settings import BillingSettings; from services._runtime.configuration.settings import SharedSettings;"
        f"shared = SharedSettings(data_dir=pathlib.Path({str(tmp_path)!r}));"
        "asyncio.run(ready_database(BillingSettings(), shared)); print('alembic' in sys.modules)"
    )
    done = subprocess.run((sys.executable, "-c", asked), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert (tmp_path / "billing.db").exists()
