"""Whatever a request may be called, what it used is booked: one character makes nothing free, and locks nobody out."""

import random
import unicodedata
from collections.abc import Iterator

import grpc
import pytest

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2
from headgate.router.v1 import completion_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, router_section
from tests.support.rpc_errors import Refusal, read_refusal

SEED = 20_261_127
ODD = [
    "\0",
    "a\0b",
    "\x1f",
    "\x7f",
    "\x80",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ufffe",
    "\uffff",
    "\U0010ffff",
    "e\u0301",
    "𓀀",
    "'; --",
]
FIELDS = ("end_user_id", "service_tier", "label", "value")


def texts(count: int) -> Iterator[str]:
    yield from ODD
    chosen = random.Random(SEED)  # noqa: S311 - nothing of it is secret
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    for _ in range(count):
        yield "".join(map(chr, chosen.choices(points, k=chosen.randint(1, 16))))


def request(field: str, text: str, number: int) -> completion_pb2.CompletionRequest:
    asked = completion_pb2.CompletionRequest(model="m", prompt="hi", request_id=f"r-{number}")
    if field == "label":
        asked.labels[text] = "x"
    elif field == "value":
        asked.labels["x"] = text
    else:
        setattr(asked, field, text)
    return asked


@pytest.fixture(params=["sqlite", "postgresql"])
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    url = request.getfixturevalue("postgres_url")
    return {"HEADGATE_BILLING_STORE": url, "HEADGATE_BILLING_KEY_PEPPER": "p" * 32}


async def test_every_request_that_is_answered_is_booked(
    start_router: StartRouter, environ: dict[str, str]
) -> None:
    section = router_section({"m": ["sim-small@tokens=1"]})
    async with start_router(section, **environ) as suite:
        answered, number = 0, 0
        for text in texts(40):
            for field in FIELDS:
                number += 1
                try:
                    await suite.router.Complete(request(field, text, number), metadata=suite.metadata)
                    answered += 1
                except grpc.aio.AioRpcError as error:
                    refusal = Refusal()
                    read_refusal(error, refusal)
                    assert (refusal.reason, refusal.code) == (
                        "INVALID_FIELD",
                        grpc.StatusCode.INVALID_ARGUMENT,
                    )
                    assert any(unicodedata.category(sign) == "Cc" for sign in text) or len(text) > 16
        await all_settled(suite)
        entries = await suite.entries()
        assert len(entries) == answered > 100
        budget = budget_pb2.Budget(
            budget_id="all", organization_id="acme", limit_nanos=10**12, period=budget_pb2.BUDGET_PERIOD_TOTAL
        )
        told = (await suite.billing.SetBudget(billing.SetBudgetRequest(budget=budget))).budget
        assert told.held_nanos == 0
        assert not list((suite.data_dir / "spool").glob("**/refused*"))
