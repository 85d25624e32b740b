"""The files in config/ are what the services accept."""

from pathlib import Path

import pytest

from services._runtime.configuration.config import Section, read_section
from services._runtime.configuration.sections import refuse_keys
from services.billing.config import BillingSection
from services.ratelimit.config import RateLimitSection
from services.router.targets.config import RouterConfig

FOLDER = Path(__file__).parents[3] / "config"
SECTIONS: dict[str, type[Section]] = {
    "router": RouterConfig,
    "ratelimit": RateLimitSection,
    "billing": BillingSection,
}


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("file", ["demo.yaml", "production.example.yaml"])
def test_every_service_accepts_its_section(file: str, section: str) -> None:
    read_section(FOLDER / file, section, SECTIONS[section])
    refuse_keys(FOLDER / file, "cache")


def test_the_demo_has_an_alias_a_model_with_two_targets_a_limit_and_a_price_for_every_model() -> None:
    router = read_section(FOLDER / "demo.yaml", "router", RouterConfig)
    limits = read_section(FOLDER / "demo.yaml", "ratelimit", RateLimitSection).limits
    prices = read_section(FOLDER / "demo.yaml", "billing", BillingSection).prices
    assert router.models["fast"].targets == router.models["sim-small"].targets
    assert len(router.models["sim-large"].targets) == 2
    assert limits
    billed = {
        (router.providers[target.provider].billed_as or target.provider, target.model)
        for target in router.targets.values()
    }
    assert billed == {(price.provider, price.model) for price in prices}


def test_the_example_writes_no_credential() -> None:
    router = read_section(FOLDER / "production.example.yaml", "router", RouterConfig)
    credentials = [provider.api_key for provider in router.providers.values() if provider.api_key is not None]
    assert credentials
    assert all(credential.env or credential.file for credential in credentials)
