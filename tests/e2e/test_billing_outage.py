"""Billing is killed for ten seconds under load: no request fails for it, and afterwards every attempt is booked exactly once."""

import asyncio
import sqlite3
import time
from collections import Counter
from typing import Any

import grpc
import pytest

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import usage_pb2 as billing_usage
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.common.v1 import usage_pb2
from headgate.router.v1 import completion_pb2
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.support.suite import RunningSuite, StartSuite
from tests.support.waiting import until

DOWN_SECONDS = 10
WORKERS = 8
PAUSE_SECONDS = 0.03
RESOLVED = {3, 4, 5}
"""Holds that were captured, voided, or barred because their usage came before them."""


class Load:
    """Workers that ask one thing after another, streamed and whole, until they are told to stop."""

    def __init__(self, suite: RunningSuite) -> None:
        self._metadata = (("authorization", f"Bearer {suite.api_key}"),)
        self._address = suite.addresses.grpc["router"]
        self._stopping = False
        self.finished = Counter[str]()

    async def run(self, outage: Any) -> None:
        async with grpc.aio.insecure_channel(self._address) as channel:
            router = RouterServiceStub(channel)
            await self._ask(router, 0)
            workers = [asyncio.create_task(self._work(router, number)) for number in range(WORKERS)]
            await outage
            self._stopping = True
            await asyncio.gather(*workers)

    async def _work(self, router: Any, worker: int) -> None:
        number = worker
        while not self._stopping:
            await self._ask(router, number)
            number += WORKERS
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, router: Any, number: int) -> None:
        request = completion_pb2.CompletionRequest(
            model="sim-small", prompt=f"Number {number}.", max_output_tokens=10 + number % 7
        )
        if number % 2:
            finished = (await router.Complete(request, metadata=self._metadata)).finished
        else:
            events = [event async for event in router.StreamComplete(request, metadata=self._metadata)]
            finished = events[-1].finished
        self.finished["priced at once" if finished.HasField("cost") else "booked later"] += 1


async def entries(suite: RunningSuite) -> list[billing_usage.LedgerEntry]:
    metadata = (("authorization", f"Bearer {suite.internal_token}"),)
    found: list[billing_usage.LedgerEntry] = []
    token = ""
    async with grpc.aio.insecure_channel(suite.addresses.grpc["billing"]) as channel:
        bank = BillingServiceStub(channel)
        while True:
            page = await bank.ListUsage(
                billing.ListUsageRequest(page_size=1000, page_token=token),
                metadata=metadata,
                wait_for_ready=True,
            )
            found.extend(page.entries)
            if not (token := page.next_page_token):
                return found


async def outage(suite: RunningSuite) -> None:
    """Billing is killed, stays away for DOWN_SECONDS, and serves again."""
    dead = suite.pid("billing")
    await asyncio.sleep(1)
    suite.kill("billing")
    began = time.monotonic()
    await until(lambda: suite.pid("billing") != dead, "billing's return", 0.1)
    assert time.monotonic() - began >= DOWN_SECONDS
    await entries(suite)
    await asyncio.sleep(1)


@pytest.mark.timeout(180)
async def test_ten_seconds_without_billing_lose_nothing_and_book_nothing_twice(
    start_suite: StartSuite,
) -> None:
    with start_suite(restart_after=DOWN_SECONDS) as suite:
        load = Load(suite)
        await load.run(outage(suite))
        served = {str(record["request_id"]): record for record in suite.served()}
        booked = await _all_booked(suite, len(served))
        assert min(load.finished["priced at once"], load.finished["booked later"]) > 0
        assert load.finished.total() == len(served) == len(booked)
        assert {entry.record.attempt_id for entry in booked} == set(served)
        for entry in booked:
            usage = entry.record.usage
            record = served[entry.record.attempt_id]
            assert usage.source == usage_pb2.USAGE_SOURCE_PROVIDER
            assert (usage.input_tokens, usage.output_tokens) == (
                record["input_tokens"],
                record["output_tokens"],
            )
        assert suite.stop() == 0
        with sqlite3.connect(suite.data_dir / "billing.db") as database:
            states = {state for (state,) in database.execute("select distinct state from holds")}
        database.close()
        assert states <= RESOLVED


async def _all_booked(suite: RunningSuite, expected: int) -> list[billing_usage.LedgerEntry]:
    async with asyncio.timeout(30):
        booked = await entries(suite)
        while len(booked) < expected:
            await asyncio.sleep(0.1)
            booked = await entries(suite)
        return booked
