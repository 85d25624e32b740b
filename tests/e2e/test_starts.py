"""A router that starts before its peers waits for them, says so, and serves its first caller."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.support.accounting import ask, router_section
from tests.support.in_process import in_process
from tests.support.router_process import router_process
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(120)
SECTION = router_section({"m": ["sim-small@tokens=4"]})


def logged(log: Path, event: str) -> list[dict[str, Any]]:
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return [record for record in records if record["event"] == event]


async def test_a_router_waits_for_billing_and_then_knows_the_first_key_that_it_sees(tmp_path: Path) -> None:
    async with in_process(tmp_path, SECTION) as suite:
        billing, log = suite.services["billing"], tmp_path / "own" / "router.log"
        await billing.stop()
        starting = router_process(suite, tmp_path / "own", {"HEADGATE_ROUTER_START_WAIT_SECONDS": "90"})
        entering = asyncio.create_task(starting.__aenter__())
        await until(lambda: logged(log, "waiting for peers"), "a word of what the router waits for")
        (said,) = logged(log, "waiting for peers")
        assert said["peers"] == [f"billing at {billing.address}"]
        assert not entering.done()
        await billing.start()
        process = await entering
        async with grpc.aio.insecure_channel(process.address) as channel:
            completion = await RouterServiceStub(channel).Complete(ask("m"), metadata=suite.metadata)
        assert completion.finished.HasField("cost")
        await starting.__aexit__(None, None, None)


async def test_a_router_whose_peers_never_come_serves_without_them_and_names_them(tmp_path: Path) -> None:
    async with in_process(tmp_path, SECTION) as suite:
        cache, own = suite.services["cache"], tmp_path / "own"
        await cache.stop()
        async with (
            router_process(suite, own, {"HEADGATE_ROUTER_START_WAIT_SECONDS": "0.6"}) as process,
            grpc.aio.insecure_channel(process.address) as channel,
        ):
            await RouterServiceStub(channel).Complete(ask("m"), metadata=suite.metadata)
        (said,) = logged(own / "router.log", "serves without peers that do not answer")
        assert said["peers"] == [f"cache at {cache.address}"]
