"""A router with real peers, and keys that are wrong, too many, or at their end."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from headgate.router.v1 import mine_pb2
from services.router.accounts.throttle import MOST_FAILURES, RETRY_SECONDS
from tests.service.router.conftest import StartRouter
from tests.support.accounting import router_section
from tests.support.api_keys import api_key
from tests.support.in_process import InProcessSuite
from tests.support.rpc_errors import refused

SECTION = router_section({"large": ["sim-large@tokens=2"]})


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


async def myself(suite: InProcessSuite, metadata: Any) -> mine_pb2.Myself:
    answer = await suite.router.GetMyself(mine_pb2.GetMyselfRequest(), metadata=metadata)
    return answer.myself


async def refusal_of(suite: InProcessSuite, key: str) -> tuple[str, float | None]:
    with refused() as refusal:
        await myself(suite, bearer(key))
    return refusal.reason, refusal.retry_seconds


async def let_in(suite: InProcessSuite, metadata: Any) -> mine_pb2.Myself:
    """With the retries that it is told to make."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await myself(suite, metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
            await asyncio.sleep(RETRY_SECONDS)


async def test_many_wrong_keys_throttle_their_address_and_a_new_good_key_gets_in(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION) as suite:
        known, (new, caller) = suite.metadata, await suite.new_key("acme")
        assert (await myself(suite, known)).key_id == suite.caller.key_id
        refusals = await asyncio.gather(*(refusal_of(suite, api_key(f"wrong{i}x")) for i in range(100)))
        assert set(refusals) == {("INVALID_KEY", None), ("RATE_LIMITED", RETRY_SECONDS)}
        assert refusals.count(("INVALID_KEY", None)) >= MOST_FAILURES
        assert (await myself(suite, known)).key_id == suite.caller.key_id
        assert (await let_in(suite, new)).key_id == caller.key_id


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key[:-7] + "-" + key[-6:]])
async def test_what_is_no_key_is_told_so_while_billing_is_down(
    start_router: StartRouter, change: Any
) -> None:
    async with start_router(SECTION) as suite:
        key = suite.metadata[0][1].removeprefix("Bearer ")
        await suite.services["billing"].stop()
        with refused() as refusal:
            await myself(suite, bearer(change(key)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_KEY")


async def test_a_key_whose_time_is_over_is_refused_though_it_was_just_admitted(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION, HEADGATE_ROUTER_KEY_FRESH_SECONDS="3600") as suite:
        end = Timestamp()
        end.FromNanoseconds(time.time_ns() + 4 * 10**9)
        key, caller = await suite.new_key("acme", expire_time=end)
        assert (await myself(suite, key)).key_id == caller.key_id
        await asyncio.sleep(max(0.0, end.ToNanoseconds() / 1e9 - time.time()) + 0.01)
        with refused() as refusal:
            await myself(suite, key)
        assert refusal.reason == "KEY_REVOKED"
