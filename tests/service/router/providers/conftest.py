"""Both adapters, in front of a simulator or of a server that says whatever a test wants."""

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from services._runtime.telemetry.masking import Masking
from services.router.providers.registry import build
from services.router.targets.config import ProviderConfig
from services.router.targets.provider import Provider
from simulator import running
from tests.service.router.providers.asking import Control

Build = Callable[..., Provider]


@pytest.fixture
async def simulator_url() -> AsyncIterator[str]:
    async with running(require_key=True) as url:
        yield url


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def control(http: aiohttp.ClientSession, simulator_url: str) -> Control:
    return Control(http, simulator_url)


@pytest.fixture
async def built() -> AsyncIterator[Build]:
    """Builds adapters from configuration, and closes them at the end."""
    made: list[Provider] = []

    def make(api: str, base_url: str, key: str = "sim-key", **options: object) -> Provider:
        named = {"api_key": {"env": "SIM_KEY"}} if key else {}
        config = ProviderConfig.model_validate({"api": api, "base_url": base_url, **named, **options})
        made.append(build("sim", config.declaration({"SIM_KEY": key}), Masking([key])))
        return made[-1]

    yield make
    for provider in made:
        await provider.close()


@pytest.fixture(params=["openai", "anthropic"])
def api(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def streamed(request: pytest.FixtureRequest) -> bool:
    chosen: bool = request.param
    return chosen


@pytest.fixture
def provider(built: Build, api: str, simulator_url: str) -> Provider:
    return built(api, f"{simulator_url}/v1")


@pytest.fixture
def openai(built: Build, simulator_url: str) -> Provider:
    return built("openai", f"{simulator_url}/v1")


@pytest.fixture
def anthropic(built: Build, simulator_url: str) -> Provider:
    return built("anthropic", f"{simulator_url}/v1")
