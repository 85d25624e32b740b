"""What a caller is told, and what is not kept."""

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from services.ratelimit.book import LimitBook
from services.ratelimit.bucket import Standing
from services.ratelimit.errors import RateLimitedError
from services.ratelimit.limit import (
    Amounts,
    Caller,
    Limit,
    Metric,
    Selector,
    SlidingWindow,
    TokenBucket,
    amounts,
)
from services.ratelimit.limiter import Limiter, Request, refusal
from services.ratelimit.metrics import LimiterMetrics
from services.ratelimit.stores.memory import MemoryBucketStore
from services.ratelimit.stores.memory_limits import MemoryLimitStore

SECOND = 1_000_000
ACME = Caller("acme", "alice", "key-1")
LIMITS = [
    Limit("a-rate", Metric.REQUESTS, TokenBucket(1, SECOND, 5), Selector("acme")),
    Limit("b-tokens", Metric.TOTAL_TOKENS, SlidingWindow(100, 60 * SECOND), Selector("acme")),
    Limit("c-model", Metric.COST_NANOS, SlidingWindow(10, 60 * SECOND), Selector("acme", model="large")),
]


async def limiter() -> tuple[Limiter, MemoryBucketStore]:
    book = LimitBook(MemoryLimitStore(), LIMITS)
    await book.refresh()
    store = MemoryBucketStore(lambda: SECOND)
    return Limiter(book, store, LimiterMetrics(CollectorRegistry()), 600 * SECOND), store


def request(reservation_id: str, wanted: Amounts, caller: Caller = ACME, model: str = "small") -> Request:
    return Request(reservation_id, caller, model, {}, wanted, None)


def standing(limit_id: str, *, fits_after_us: int | None, shadow: bool = False) -> Standing:
    return Standing(
        limit_id,
        Metric.REQUESTS,
        5,
        shadow,
        exceeded=True,
        remaining=1,
        reset_after_us=9,
        fits_after_us=fits_after_us,
    )


async def test_every_metric_counts_its_own_amount() -> None:
    service, _ = await limiter()
    wanted = amounts(requests=1, input_tokens=20, output_tokens=30, cost_nanos=4)
    (standings,) = await service.reserve([request("a", wanted, model="large")])
    assert not isinstance(standings, RateLimitedError)
    assert [(each.limit_id, each.remaining) for each in standings] == [
        ("a-rate", 4),
        ("b-tokens", 50),
        ("c-model", 6),
    ]


async def test_nothing_is_kept_for_a_request_that_no_limit_binds() -> None:
    service, store = await limiter()
    stranger = Caller("umbrella")
    assert await service.reserve([request("a", amounts(requests=1), stranger)]) == [()]
    assert len(store) == 0
    assert await service.settle([(stranger, "a", amounts(requests=1))]) == [True]
    assert await service.release(stranger, "a")


async def test_nothing_is_kept_of_a_refused_request_but_its_buckets() -> None:
    service, store = await limiter()
    (refused,) = await service.reserve([request("a", amounts(requests=6))])
    assert isinstance(refused, RateLimitedError)
    assert await service.settle([(ACME, "a", amounts(requests=6))]) == [False]
    assert store._records == {}


async def test_bound_and_unbound_requests_of_a_batch_keep_their_places() -> None:
    service, _ = await limiter()
    stranger = Caller("umbrella")
    outcomes = await service.reserve(
        [
            request("a", amounts(requests=1), stranger),
            request("b", amounts(requests=6)),
            request("c", amounts(requests=1), stranger),
            request("d", amounts(requests=1)),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [tuple, RateLimitedError, tuple, tuple]
    settled = await service.settle(
        [(stranger, "a", amounts()), (ACME, "b", amounts()), (ACME, "d", amounts())]
    )
    assert settled == [True, False, True]


def test_a_refusal_names_the_first_and_all_that_refuse_and_the_longest_wait() -> None:
    error = refusal(
        [
            standing("shadow", fits_after_us=99 * SECOND, shadow=True),
            standing("first", fits_after_us=2 * SECOND),
            standing("second", fits_after_us=7 * SECOND),
        ],
        amounts(requests=3),
    )
    assert error.message == "limit first refused: 3 requests are asked for, 1 of 5 remain"
    assert [violation.subject for violation in error.quota_violations] == ["limit:first", "limit:second"]
    assert error.retry_after_seconds == 7
    assert error.metadata == {
        "limit_id": "first",
        "metric": "REQUESTS",
        "limit": "5",
        "remaining": "1",
        "reset_after_seconds": "0.000",
    }


def test_when_one_limit_can_never_hold_it_no_time_is_named() -> None:
    error = refusal(
        [standing("first", fits_after_us=2 * SECOND), standing("second", fits_after_us=None)],
        amounts(requests=9),
    )
    assert error.retry_after_seconds is None
    assert not error.retryable
    assert "can never fit" in error.quota_violations[1].description


def test_cost_is_told_in_dollars_and_what_can_never_fit_with_what_to_do() -> None:
    never = Standing(
        "spend",
        Metric.COST_NANOS,
        1_000_000,
        shadow=False,
        exceeded=True,
        remaining=400_000,
        reset_after_us=SECOND,
        fits_after_us=None,
    )
    error = refusal([never], amounts(cost_nanos=2_463_600_000))
    assert error.message == (
        "limit spend refused: 2.4636 USD are asked for, it holds at most 0.001: this can never fit; ask for less, such as a "
        "smaller max_output_tokens"
    )
    assert not error.retryable
    later = refusal([replace(never, fits_after_us=SECOND)], amounts(cost_nanos=500_000))
    assert later.message == "limit spend refused: 0.0005 USD are asked for, 0.0004 of 0.001 remain"
