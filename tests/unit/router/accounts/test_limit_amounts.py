"""Amounts of one request over several reservations, and what limits have left of them."""

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services._runtime.errors import GatewayError
from services.router.accounts.limit_amounts import limit_headers, refused_by, spread

AMOUNTS = st.builds(
    ratelimit.Amounts,
    requests=st.integers(0, 1),
    input_tokens=st.integers(0, 100),
    output_tokens=st.integers(0, 100),
    cost_nanos=st.integers(0, 100),
)


@given(used=AMOUNTS, reserved=st.lists(AMOUNTS, min_size=1, max_size=4))
def test_the_shares_are_all_that_was_used_and_only_the_last_is_more_than_was_reserved(
    used: ratelimit.Amounts, reserved: list[ratelimit.Amounts]
) -> None:
    shares = spread(used, reserved)
    for field in ("requests", "input_tokens", "output_tokens", "cost_nanos"):
        assert sum(getattr(share, field) for share in shares) == getattr(used, field)
        for share, took in zip(shares[:-1], reserved, strict=False):
            assert getattr(share, field) <= getattr(took, field)


def status(metric: int, limit: int, remaining: int, *, shadow: bool = False) -> ratelimit.LimitStatus:
    told = ratelimit.LimitStatus(
        limit=limit, remaining=remaining, shadow=shadow, reset_after=Duration(seconds=2, nanos=500_000_000)
    )
    told.metric = metric  # type: ignore[assignment] # a number of the enum
    return told


@pytest.mark.parametrize(
    ("metric", "left"), [(2, "75"), (3, "65"), (4, "90")], ids=["input", "output", "both"]
)
def test_what_every_reservation_took_and_nobody_used_is_left(metric: int, left: str) -> None:
    reserved = [ratelimit.Amounts(input_tokens=30, output_tokens=40), ratelimit.Amounts(output_tokens=10)]
    used = ratelimit.Amounts(input_tokens=5, output_tokens=35)
    headers = dict(limit_headers([status(metric, 100, 50)], reserved, used))
    assert headers == {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": left,
        "x-ratelimit-reset-tokens": "2.500s",
    }


def test_more_than_was_reserved_is_missing_and_no_less_than_nothing_is_left() -> None:
    used = ratelimit.Amounts(input_tokens=70)
    headers = dict(limit_headers([status(2, 100, 50)], [ratelimit.Amounts(input_tokens=10)], used))
    assert headers["x-ratelimit-remaining-tokens"] == "0"


def test_before_the_end_is_known_what_is_reserved_counts_and_shadows_are_never_told() -> None:
    statuses = [status(1, 10, 7), status(1, 3, 0, shadow=True), status(5, 9, 1)]
    headers = dict(limit_headers(statuses, [ratelimit.Amounts(requests=1)], None))
    assert headers["x-ratelimit-remaining-requests"] == "7"
    assert len(headers) == 3


def test_a_refusal_of_somebody_else_names_no_limit() -> None:
    assert refused_by(GatewayError("no money", metadata={"limit_id": "x"})) is None
