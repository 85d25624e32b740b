"""What limits are told after a request: again while the rate limiter can't be reached, and no longer than it matters."""

import asyncio

import pytest

from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services._runtime.errors import InvalidFieldError
from services.router.accounts import limit_settlement
from services.router.accounts.limit_settlement import (
    EXPIRED_AFTER_SECONDS,
    LimitSettlements,
    releasing,
    settling,
)
from tests.support.router_peers import ACME, RecordingLimits


class Desk:
    def __init__(self) -> None:
        self.now = 0.0
        self.lost: list[str] = []
        self.limits = RecordingLimits()
        self.settlements = LimitSettlements(self.limits, lambda: self.now, self.lost.append)

    async def reserve(self, number: int) -> None:
        amounts = ratelimit.Amounts(requests=1)
        await self.limits.reserve(
            ratelimit.ReserveRequest(reservation_id=f"r{number}", caller=ACME, amounts=amounts)
        )

    async def settle(self, number: int) -> None:
        amounts = ratelimit.Amounts(requests=1)
        await self.settlements.resolve(
            ratelimit.SettleRequest(reservation_id=f"r{number}", caller=ACME, amounts=amounts)
        )


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(limit_settlement, "_PAUSE_SECONDS", 0.001)
    return Desk()


async def emptied(desk: Desk) -> None:
    retrying = desk.settlements._retrying
    assert retrying is not None
    await asyncio.wait_for(retrying, 10)


async def test_what_was_used_is_settled_at_once(desk: Desk) -> None:
    await desk.reserve(1)
    await desk.settle(1)
    assert list(desk.limits.settled) == ["r1"]
    assert desk.settlements.depth == 0


async def test_after_an_outage_everything_is_settled_once(desk: Desk) -> None:
    desk.limits.outage.all("settle", "release")
    for number in range(200):
        await desk.reserve(number)
        await desk.settle(number)
    await desk.reserve(200)
    await desk.settlements.resolve(ratelimit.ReleaseRequest(reservation_id="r200", caller=ACME))
    assert desk.settlements.depth == 201
    desk.limits.outage.end()
    await emptied(desk)
    assert set(desk.limits.settled) == {f"r{number}" for number in range(200)}
    assert desk.limits.released == ["r200"]
    assert desk.limits.open == {}


async def test_what_has_expired_is_not_settled_any_more(desk: Desk) -> None:
    desk.limits.outage.all("settle")
    await desk.settle(1)
    desk.now += EXPIRED_AFTER_SECONDS
    await emptied(desk)
    assert desk.limits.settled == {}


async def test_what_is_refused_is_not_tried_again(desk: Desk) -> None:
    desk.limits.outage["settle"] = InvalidFieldError("no")
    await desk.settle(1)
    assert desk.settlements.depth == 0
    assert desk.lost == ["ratelimit"]


async def test_stopping_tries_once_more(desk: Desk) -> None:
    await desk.reserve(1)
    desk.limits.outage.all("settle")
    await desk.settle(1)
    desk.limits.outage.end()
    await desk.settlements.stop()
    assert list(desk.limits.settled) == ["r1"]


def test_where_no_limit_binds_nothing_is_settled() -> None:
    used = ratelimit.Amounts(requests=1, output_tokens=7)
    assert settling([], used) == releasing([], used) == []
