"""What is admitted while the rate limiter can't be asked: what the limits that bind the request say, else the setting."""

from typing import Any

import pytest

from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services._runtime.errors import GatewayError
from services.router.accounts.known_costs import KnownCosts
from services.router.accounts.limit_rules import LimitRules
from services.router.reserving import Reserving
from tests.support.router_peers import ACME, RecordingLimits

UNSAID, OPEN, CLOSED = limit_pb2.STORE_LOSS_POLICY_UNSPECIFIED, *limit_pb2.StoreLossPolicy.values()[1:3]


class Run:
    """What is read and noted of a run."""

    def __init__(self) -> None:
        self.reservations: list[Any] = []
        self.limit_statuses: list[Any] = []


class Listed:
    def __init__(self, policies: list[Any]) -> None:
        self._limits = [
            limit_pb2.Limit(limit_id=f"l{index}", store_loss_policy=policy)
            for index, policy in enumerate(policies)
        ]

    async def limits(self, _request: ratelimit.ListLimitsRequest) -> ratelimit.ListLimitsResponse:
        return ratelimit.ListLimitsResponse(limits=self._limits, etag="1")


async def refusal(policies: list[Any], *, setting: bool) -> str:
    """Why the request is not admitted; empty when it is. `setting`: HEADGATE_ROUTER_LIMITS_LOST is open."""
    limits, rules, lost = RecordingLimits(), LimitRules(Listed(policies)), list[str]()
    await rules.look()
    limits.outage.all("reserve")
    reserving = Reserving(
        limits, rules, KnownCosts(lambda: 0.0), admits_unseen=setting, on_peer_lost=lost.append
    )
    try:
        await reserving.reserve(Run(), ratelimit.ReserveRequest(reservation_id="r", caller=ACME))  # type: ignore[arg-type]
    except GatewayError as error:
        return error.message
    finally:
        assert lost == ["ratelimit"]
    return ""


@pytest.mark.parametrize(
    ("policies", "open_setting", "closed_setting"),
    [
        ([], "", "LIMITS_LOST"),
        ([UNSAID], "", "LIMITS_LOST"),
        ([OPEN], "", ""),
        ([OPEN, UNSAID], "", "LIMITS_LOST"),
        ([OPEN, CLOSED], "limit l1", "limit l1"),
        ([UNSAID, CLOSED, CLOSED], "limit l1", "limit l1"),
    ],
)
async def test_one_that_is_closed_refuses_and_all_that_are_open_admit(
    policies: list[Any], open_setting: str, closed_setting: str
) -> None:
    for setting, expected in ((True, open_setting), (False, closed_setting)):
        why = await refusal(policies, setting=setting)
        assert expected in why
        assert bool(why) == bool(expected)
