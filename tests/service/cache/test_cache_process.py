"""`python -m services.cache` as an operator starts it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import grpc

from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from headgate.common.v1.cache_status_pb2 import CACHE_STATUS_EXACT
from tests.service.cache.calls import answer, ask

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 60


async def launch(**variables: str) -> asyncio.subprocess.Process:
    own = {f"HEADGATE_CACHE_{name}": value for name, value in variables.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
    path = {"PYTHONPATH": f"{ROOT}:{ROOT}/gen/python", "HEADGATE_ALLOW_NO_INTERNAL_TOKEN": "true"}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.cache"),
        env={**inherited, **path, **own},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def listening(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        async for line in process.stdout:
            if b'"event":"listening"' in line:
                return
    raise AssertionError("it ended before it listened")


async def test_several_workers_on_redis_share_a_port_and_their_entries(
    redis_url: str, tmp_path: Path
) -> None:
    port_file = tmp_path / "port"
    process = await launch(
        WORKERS="2",
        STORE=redis_url,
        STORE_TIMEOUT_SECONDS="5",
        KEY_SECRET="a secret of the test",
        LISTEN="127.0.0.1:0",
        METRICS_LISTEN="off",
        PORT_FILE=str(port_file),
        LAME_DUCK_SECONDS="0",
    )
    try:
        await listening(process)
        address = port_file.read_text().strip()
        # A connection belongs to one worker: several of them meet both.
        for number in range(8):
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(address, options) as channel:
                stub = CacheServiceStub(channel)
                found = await stub.Lookup(ask(b"workers"), wait_for_ready=True, timeout=20)
                assert (found.status == CACHE_STATUS_EXACT) == (number > 0)
                if number == 0:
                    await stub.Store(answer(found.key), timeout=20)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), START_SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_memory_store_with_several_workers_is_refused_and_the_setting_named() -> None:
    process = await launch(WORKERS="2")
    _, said = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode == 2
    assert b"HEADGATE_CACHE_STORE=memory keeps its state in one process" in said
