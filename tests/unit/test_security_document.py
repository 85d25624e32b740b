"""docs/security.md names settings that exist, and every setting by which an operator makes something less safe."""

import re
from pathlib import Path

from services._runtime.configuration.settings import SharedSettings, describe
from services.router.targets.config import ProviderConfig
from tests.unit.deploy.compose_file import KINDS

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
SETTINGS = {
    *(variable.name for variable in describe(SharedSettings, "HEADGATE_")),
    *(variable.name for kind in KINDS.values() for variable in describe(kind.settings, kind.prefix)),
}


def of_any_service(name: str) -> str:
    return re.sub(r"HEADGATE_(ROUTER|CACHE|RATELIMIT|BILLING)_", "HEADGATE_<SERVICE>_", name)


def named() -> set[str]:
    own = set(re.findall(r"HEADGATE_(?:<SERVICE>_)?[A-Z_]+", TEXT))
    return own | {f"HEADGATE_<SERVICE>_{rest}" for rest in re.findall(r"`…_([A-Z_]+)`", TEXT)}


def test_every_setting_that_is_named_exists() -> None:
    assert len(named()) > 8
    assert named() - SETTINGS - {of_any_service(name) for name in SETTINGS} == set()


def test_every_choice_that_opens_something_is_told() -> None:
    choices = {name for name in SETTINGS if "ALLOW_" in name or name.endswith("CHANNELZ")}
    assert {name for name in choices if not {name, of_any_service(name)} & named()} == set()
    opening = {name for name in ProviderConfig.model_fields if name.startswith(("allow_", "proxy"))}
    assert {name for name in opening if f"`{name}: " not in TEXT} == set()
