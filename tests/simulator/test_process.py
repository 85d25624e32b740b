"""`python -m simulator` as a process."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest
from openai import AsyncOpenAI


@pytest.fixture
async def process() -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = [
        sys.executable,
        "-m",
        "simulator",
        "--listen",
        "127.0.0.1:0",
        "--require-key",
        "--model",
        "extra",
    ]
    started = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    yield started
    if started.returncode is None:
        started.kill()
    await started.wait()


async def address_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    assert ready["event"] == "ready"
    assert ready["url"] == f"http://{ready['address']}"
    return str(ready["url"])


async def test_it_says_where_it_listens_serves_and_stops_on_sigterm(
    process: asyncio.subprocess.Process,
) -> None:
    url = await address_of(process)
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        answer = await client.chat.completions.create(
            model="extra", messages=[{"role": "user", "content": "Hi"}]
        )
    assert answer.choices[0].message.content
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_stream_that_hangs_does_not_keep_it_from_stopping(
    process: asyncio.subprocess.Process,
) -> None:
    url = await address_of(process)
    body = {"model": "sim-small", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    headers = {"Authorization": "Bearer k", "x-simulator-hang-after": "1"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response,
    ):
        assert (await response.content.readline()).startswith(b"data: ")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_an_address_without_a_port_is_refused_on_one_line() -> None:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "simulator", "--listen", "nowhere"],
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"'nowhere' is not HOST:PORT" in errors
