"""`python -m services.ratelimit` as an operator starts it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import grpc
import pytest

from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from tests.service.ratelimit.calls import hourly, reserve

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 60


async def launch(**variables: str) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
    inherited["HEADGATE_ALLOW_NO_INTERNAL_TOKEN"] = "true"
    own = {f"HEADGATE_RATELIMIT_{name}": value for name, value in variables.items() if name != "CONFIG"}
    if "CONFIG" in variables:
        own["HEADGATE_CONFIG"] = variables["CONFIG"]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.ratelimit"),
        env={**inherited, "PYTHONPATH": f"{ROOT}:{ROOT}/gen/python", **own},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def listening(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(START_SECONDS):
        async for line in process.stdout:
            if b'"event":"listening"' in line:
                return
    raise AssertionError((await process.stderr.read()).decode())


async def refused(**variables: str) -> bytes:
    process = await launch(**variables)
    _, said = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode == 2
    return said


async def test_several_workers_on_redis_are_one_limiter(redis_url: str, tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    process = await launch(
        WORKERS="2",
        STORE=redis_url,
        STORE_TIMEOUT_SECONDS="5",
        REFRESH_SECONDS="0.05",
        LISTEN="127.0.0.1:0",
        METRICS_LISTEN="",
        PORT_FILE=str(port_file),
        LAME_DUCK_SECONDS="0",
    )
    try:
        await listening(process)
        address = port_file.read_text().strip()
        admitted = 0
        # A connection belongs to one worker: several of them meet both.
        for number in range(12):
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(address, options) as channel:
                stub = RateLimitServiceStub(channel)
                if number == 0:
                    limit = pb.SetLimitRequest(limit=hourly("shared", "acme", 7))
                    await stub.SetLimit(limit, wait_for_ready=True, timeout=20)
                # A worker that has just been told nothing reads the limits when it is asked for them.
                await stub.ListLimits(pb.ListLimitsRequest(), wait_for_ready=True, timeout=20)
                batch = pb.BatchReserveRequest(requests=[reserve(f"r{number}", "acme", requests=1)])
                (result,) = (await stub.BatchReserve(batch, timeout=20)).results
                admitted += result.HasField("response")
        assert admitted == 7
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), START_SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_memory_store_with_several_workers_is_refused_and_the_setting_named() -> None:
    assert b"HEADGATE_RATELIMIT_STORE=memory keeps its state in one process" in await refused(WORKERS="2")


@pytest.mark.parametrize("store", ["memroy", "http://localhost:6379"])
async def test_an_unknown_store_is_refused_and_the_setting_named(store: str) -> None:
    assert b"HEADGATE_RATELIMIT_STORE: " in await refused(STORE=store)


async def test_a_limit_that_can_not_be_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "headgate.yaml"
    path.write_text("ratelimit:\n  limits:\n    - limit_id: a\n      metric: request\n")
    said = await refused(CONFIG=str(path))
    assert f"{path}:4: ratelimit.limits.0.metric".encode() in said
