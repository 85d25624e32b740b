"""What becomes of requests while limits can't be decided is what the limits that bind them say, and else the setting."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services.router.accounts import limit_rules
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, router_section
from tests.support.in_process import LIMITS, InProcessSuite
from tests.support.limits import CLOSED, OPEN, REQUESTS, declare, delete, rules_of, window
from tests.support.redis_server import RedisServer
from tests.support.rpc_errors import refused
from tests.support.waiting import PATIENCE_SECONDS, until

SECTION = router_section({"m": ["sim-small@tokens=4"], "other": ["sim-small@tokens=4"]})
PLENTY = 10**9


def closed(limit_id: str = "closed", **fields: Any) -> limit_pb2.Limit:
    return window(limit_id, REQUESTS, PLENTY, store_loss_policy=CLOSED, **fields)


async def complete(suite: InProcessSuite, model: str = "m", **fields: Any) -> None:
    await suite.router.Complete(ask(model, **fields), metadata=suite.metadata)


async def check_refused(suite: InProcessSuite, why: str, **fields: Any) -> None:
    with refused() as refusal:
        await complete(suite, **fields)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE")
    assert refusal.retry_seconds == 1
    assert why in refusal.message


async def test_a_closed_limit_refuses_whom_it_binds_while_the_rate_limiter_is_gone(
    start_router: StartRouter,
) -> None:
    selector = limit_pb2.Selector(organization_id="acme", model="m", labels={"tier": "free"})
    async with start_router(SECTION) as suite:
        await declare(suite, closed("acme/m", selector=selector))
        await suite.services["ratelimit"].stop()
        labels = {"tier": "free", "team": "a"}
        await check_refused(suite, "limit acme/m is closed", labels=labels)
        await complete(suite, labels={"tier": "paid"})
        await complete(suite)
        await complete(suite, "other", labels=labels)
        suite.metadata, _ = await suite.new_key("umbrella")
        await complete(suite, labels=labels)


@pytest.mark.parametrize("setting", ["open", "closed"])
async def test_a_limit_that_says_nothing_leaves_it_to_the_setting(
    start_router: StartRouter, setting: str
) -> None:
    async with start_router(SECTION, HEADGATE_ROUTER_LIMITS_LOST=setting) as suite:
        await declare(suite, window("open", REQUESTS, PLENTY, store_loss_policy=OPEN))
        await suite.services["ratelimit"].stop()
        if setting == "open":
            await complete(suite)
        else:
            await check_refused(suite, "HEADGATE_ROUTER_LIMITS_LOST is closed")


async def test_a_closed_limit_in_shadow_refuses_nothing(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        await declare(suite, closed(shadow=True))
        await suite.services["ratelimit"].stop()
        await complete(suite)


async def test_a_limit_that_was_deleted_or_replaced_refuses_nothing_any_more(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION) as suite:
        await declare(suite, closed("deleted"), closed("replaced"))
        await delete(suite, "deleted")
        await declare(suite, window("replaced", REQUESTS, PLENTY, store_loss_policy=OPEN))
        await suite.services["ratelimit"].stop()
        await complete(suite)


async def test_the_router_sees_by_itself_what_was_set_and_what_was_deleted(
    start_router: StartRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_rules, "LOOK_EVERY_SECONDS", 0.01)
    async with start_router(SECTION) as suite:
        rules = rules_of(suite)
        # From the start: those of the file.
        assert len(rules.binding(suite.caller, "m", {})) == len(LIMITS)
        await suite.ratelimit.SetLimit(ratelimit.SetLimitRequest(limit=closed()))
        await until(lambda: len(rules.binding(suite.caller, "m", {})) > len(LIMITS), "the new limit")
        await suite.ratelimit.DeleteLimit(ratelimit.DeleteLimitRequest(limit_id="closed"))
        await until(lambda: len(rules.binding(suite.caller, "m", {})) == len(LIMITS), "its end")


async def test_a_router_that_has_never_seen_the_limits_does_as_the_setting_says(
    start_router: StartRouter,
) -> None:
    async with start_router(SECTION, HEADGATE_ROUTER_START_WAIT_SECONDS="0.1") as suite:
        await declare(suite, closed())
        await suite.services["router"].stop()
        await suite.services["ratelimit"].stop()
        await suite.services["router"].start()
        assert rules_of(suite).binding(suite.caller, "m", {}) == []
        await complete(suite)
        await suite.services["ratelimit"].start()
        await until(lambda: rules_of(suite).binding(suite.caller, "m", {}), "the limits")


async def test_a_closed_limit_refuses_while_redis_is_frozen_and_no_longer_than_that(
    start_router: StartRouter, tmp_path: Path
) -> None:
    with RedisServer.running(tmp_path) as redis:
        async with start_router(SECTION, HEADGATE_RATELIMIT_STORE=redis.url) as suite:
            await declare(suite, closed())
            await complete(suite)
            redis.pause()
            await check_refused(suite, "limit closed is closed")
            redis.resume()

            async def admits() -> bool:
                try:
                    await complete(suite)
                except grpc.aio.AioRpcError:
                    return False
                return True

            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await admits():
                    pass
            await all_settled(suite)
