"""A simulator on a free port, the official SDKs pointed at it, and its control endpoints."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from simulator import running


class Control:
    """The simulator's control endpoints."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._url = f"{base_url}/control"

    async def served(self, since: int = 0, **filters: str) -> list[dict[str, Any]]:
        async with self._session.get(f"{self._url}/served", params={"since": since, **filters}) as response:
            found: list[dict[str, Any]] = (await response.json())["served"]
            return found

    async def ended(self, request_id: str) -> dict[str, Any]:
        """The record of a request, once it no longer runs."""
        async with asyncio.timeout(10):
            while True:
                found = await self.served(request_id=request_id)
                if found and found[0]["outcome"] != "running":
                    return found[0]

    async def reset(self) -> None:
        (await self._session.delete(f"{self._url}/served")).raise_for_status()

    async def fault(self, body: Any) -> int:
        async with self._session.post(f"{self._url}/faults", json=body) as response:
            return response.status

    async def faults(self) -> list[dict[str, Any]]:
        async with self._session.get(f"{self._url}/faults") as response:
            found: list[dict[str, Any]] = (await response.json())["faults"]
            return found

    async def clear_faults(self, **of: str) -> None:
        (await self._session.delete(f"{self._url}/faults", params=of)).raise_for_status()


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    async with running() as url:
        yield url


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def control(http: aiohttp.ClientSession, base_url: str) -> Control:
    return Control(http, base_url)


@pytest.fixture
async def openai_client(base_url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{base_url}/v1", api_key="sim-key", max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
async def anthropic_client(base_url: str) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=base_url, api_key="sim-key", max_retries=0, timeout=10) as client:
        yield client
