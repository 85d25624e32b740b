"""What every BucketStore does."""

import pytest

from services.ratelimit.limit import Limit
from services.ratelimit.store import REMEMBERED_US, BucketStore
from tests.contract.ratelimit.requests import SECOND, asking, buckets, token_limit, using, window_limit
from tests.contract.ratelimit.stores import Clock

BUCKET = token_limit("bucket", burst=10)
WINDOW = window_limit("window", maximum=10)
each_algorithm = pytest.mark.parametrize("limit", [BUCKET, WINDOW], ids=["token bucket", "sliding window"])


async def remaining(store: BucketStore, limit: Limit) -> int:
    (standing,) = await store.peek(buckets(limit))
    return standing.remaining


@each_algorithm
async def test_a_reservation_takes_from_its_bucket(store: BucketStore, limit: Limit) -> None:
    (decision,) = await store.reserve([asking("a", 4, limit)])
    assert decision.admitted
    assert [standing.remaining for standing in decision.standings] == [6]
    assert await remaining(store, limit) == 6


@each_algorithm
async def test_what_does_not_fit_is_refused_and_takes_nothing(store: BucketStore, limit: Limit) -> None:
    _, decision = await store.reserve([asking("a", 8, limit), asking("b", 3, limit)])
    assert not decision.admitted
    assert decision.standings[0].exceeded
    assert await remaining(store, limit) == 2


async def test_a_refusal_by_one_limit_takes_from_none(store: BucketStore) -> None:
    wide, narrow = token_limit("a-wide", burst=100), window_limit("b-narrow", maximum=3)
    (decision,) = await store.reserve([asking("a", 4, wide, narrow)])
    assert [standing.exceeded for standing in decision.standings] == [False, True]
    assert (await remaining(store, wide), await remaining(store, narrow)) == (100, 3)


async def test_a_token_bucket_says_when_the_same_request_fits_and_is_right(
    store: BucketStore, clock: Clock
) -> None:
    await store.reserve([asking("a", 8, BUCKET)])
    (refused,) = await store.reserve([asking("b", 5, BUCKET)])
    assert refused.standings[0].fits_after_us == 3 * SECOND
    await clock.advance(3 * SECOND - 1)
    assert not (await store.reserve([asking("b", 5, BUCKET)]))[0].admitted
    await clock.advance(1)
    assert (await store.reserve([asking("b", 5, BUCKET)]))[0].admitted


async def test_a_window_says_when_the_same_request_fits_and_is_right(
    store: BucketStore, clock: Clock
) -> None:
    await store.reserve([asking("a", 8, WINDOW)])
    await clock.advance(30 * SECOND)
    (refused,) = await store.reserve([asking("b", 5, WINDOW)])
    wait = refused.standings[0].fits_after_us
    assert wait is not None
    assert 30 * SECOND <= wait <= 31 * SECOND
    await clock.advance(wait - 1)
    assert not (await store.reserve([asking("b", 5, WINDOW)]))[0].admitted
    await clock.advance(1)
    assert (await store.reserve([asking("b", 5, WINDOW)]))[0].admitted


@each_algorithm
async def test_more_than_the_capacity_never_fits(store: BucketStore, limit: Limit) -> None:
    (decision,) = await store.reserve([asking("a", 11, limit)])
    assert not decision.admitted
    assert decision.standings[0].fits_after_us is None


@each_algorithm
async def test_the_same_id_again_answers_the_same_and_takes_once(
    store: BucketStore, clock: Clock, limit: Limit
) -> None:
    first = await store.reserve([asking("a", 4, limit)])
    await clock.advance(SECOND)
    assert await store.reserve([asking("a", 4, limit)]) == first
    await store.settle([using("a", 4)])
    assert await store.reserve([asking("a", 4, limit)]) == first
    assert await remaining(store, limit) == (7 if limit is BUCKET else 6)


@each_algorithm
async def test_the_same_id_twice_in_one_batch_takes_once(store: BucketStore, limit: Limit) -> None:
    first, second = await store.reserve([asking("a", 4, limit), asking("a", 4, limit)])
    assert first == second
    assert await remaining(store, limit) == 6


@each_algorithm
async def test_the_same_id_of_another_organisation_is_another_reservation(
    store: BucketStore, limit: Limit
) -> None:
    await store.reserve([asking("a", 4, limit), asking("a", 4, limit, organization_id="other")])
    assert await store.settle([using("a", 0, "other")]) == [True]
    assert await remaining(store, limit) == 6


@each_algorithm
async def test_settling_gives_the_difference_back(store: BucketStore, limit: Limit) -> None:
    await store.reserve([asking("a", 8, limit)])
    assert await store.settle([using("a", 3)]) == [True]
    assert await remaining(store, limit) == 7


@each_algorithm
async def test_the_difference_comes_back_in_whatever_order_requests_end(
    store: BucketStore, limit: Limit
) -> None:
    await store.reserve([asking("a", 4, limit), asking("b", 4, limit)])
    assert await store.settle([using("b", 1), using("a", 1)]) == [True, True]
    assert await remaining(store, limit) == 8


@each_algorithm
async def test_settling_for_more_takes_it_now_even_when_it_does_not_fit(
    store: BucketStore, limit: Limit
) -> None:
    await store.reserve([asking("a", 8, limit)])
    assert await store.settle([using("a", 15)]) == [True]
    assert await remaining(store, limit) == 0
    (refused,) = await store.reserve([asking("b", 0, limit)])
    assert not refused.admitted


async def test_a_bucket_that_owes_refills_from_what_it_owes(store: BucketStore, clock: Clock) -> None:
    await store.reserve([asking("a", 8, BUCKET)])
    await store.settle([using("a", 15)])
    await clock.advance(7 * SECOND)
    assert await remaining(store, BUCKET) == 2


@each_algorithm
async def test_settling_again_changes_nothing_and_answers_the_same(store: BucketStore, limit: Limit) -> None:
    await store.reserve([asking("a", 8, limit)])
    await store.settle([using("a", 3)])
    assert await store.settle([using("a", 9), using("a", 0)]) == [True, True]
    assert await remaining(store, limit) == 7


@each_algorithm
async def test_releasing_gives_everything_back_once(store: BucketStore, limit: Limit) -> None:
    await store.reserve([asking("a", 8, limit)])
    assert await store.release("acme", "a")
    assert await store.release("acme", "a")
    assert await remaining(store, limit) == 10


async def test_a_settled_reservation_is_not_released_nor_a_released_one_settled(store: BucketStore) -> None:
    await store.reserve([asking("a", 4, BUCKET), asking("b", 4, BUCKET)])
    await store.settle([using("a", 4)])
    assert not await store.release("acme", "a")
    assert await store.release("acme", "b")
    assert await store.settle([using("b", 4)]) == [False]
    assert await remaining(store, BUCKET) == 6


async def test_what_was_never_reserved_is_neither_settled_nor_released_nor_renewed(
    store: BucketStore,
) -> None:
    assert await store.settle([using("a", 4)]) == [False]
    assert not await store.release("acme", "a")
    assert not await store.renew("acme", "a", SECOND)


@each_algorithm
async def test_what_an_expired_reservation_took_stays_taken(
    store: BucketStore, clock: Clock, limit: Limit
) -> None:
    await store.reserve([asking("a", 8, limit, ttl_seconds=1)])
    await clock.advance(SECOND)
    assert await store.settle([using("a", 0)]) == [False]
    assert not await store.release("acme", "a")
    assert await remaining(store, limit) == (3 if limit is BUCKET else 2)


async def test_a_reservation_can_be_settled_until_its_last_microsecond(
    store: BucketStore, clock: Clock
) -> None:
    await store.reserve([asking("a", 8, WINDOW, ttl_seconds=1)])
    await clock.advance(SECOND - 1)
    assert await store.settle([using("a", 0)]) == [True]


async def test_renewing_counts_from_now(store: BucketStore, clock: Clock) -> None:
    await store.reserve([asking("a", 8, WINDOW, ttl_seconds=10)])
    await clock.advance(9 * SECOND)
    assert await store.renew("acme", "a", 5 * SECOND)
    await clock.advance(5 * SECOND - 1)
    assert await store.settle([using("a", 0)]) == [True]
    assert not await store.renew("acme", "a", 5 * SECOND)


async def test_a_resolved_reservation_is_remembered_after_its_time(store: BucketStore, clock: Clock) -> None:
    await store.reserve([asking("a", 8, WINDOW, ttl_seconds=1)])
    await store.settle([using("a", 3)])
    await clock.advance(REMEMBERED_US - 1)
    assert await store.settle([using("a", 3)]) == [True]
    await clock.advance(1)
    assert await store.settle([using("a", 3)]) == [False]


async def test_a_resolved_reservation_is_not_kept_for_the_time_it_was_made_for(
    store: BucketStore, clock: Clock
) -> None:
    await store.reserve([asking("a", 8, WINDOW, ttl_seconds=3600)])
    await store.settle([using("a", 3)])
    await clock.advance(REMEMBERED_US)
    assert await store.settle([using("a", 3)]) == [False]


async def test_a_window_refund_goes_to_the_time_it_was_taken_from(store: BucketStore, clock: Clock) -> None:
    await store.reserve([asking("old", 4, WINDOW)])
    await clock.advance(30 * SECOND)
    await store.reserve([asking("new", 4, WINDOW)])
    await store.settle([using("old", 1)])
    await clock.advance(31 * SECOND)
    assert await remaining(store, WINDOW) == 6


async def test_a_window_refund_is_nothing_once_its_time_has_left(store: BucketStore, clock: Clock) -> None:
    await store.reserve([asking("old", 4, WINDOW)])
    await clock.advance(62 * SECOND)
    await store.reserve([asking("new", 4, WINDOW)])
    assert await store.settle([using("old", 0)]) == [True]
    assert await remaining(store, WINDOW) == 6


async def test_a_late_bucket_refund_never_admits_a_second_burst(store: BucketStore, clock: Clock) -> None:
    await store.reserve([asking("old", 10, BUCKET)])
    await clock.advance(10 * SECOND)
    await store.reserve([asking("new", 10, BUCKET)])
    await store.settle([using("old", 0)])
    assert await remaining(store, BUCKET) == 0


async def test_a_shadow_limit_reports_and_never_refuses(store: BucketStore) -> None:
    shadow, real = token_limit("a-shadow", burst=3, shadow=True), token_limit("b-real", burst=10)
    (decision,) = await store.reserve([asking("a", 4, shadow, real)])
    assert decision.admitted
    assert [standing.exceeded for standing in decision.standings] == [True, False]
    assert await store.settle([using("a", 2)]) == [True]
    assert (await remaining(store, shadow), await remaining(store, real)) == (3, 8)


async def test_a_bucket_keeps_what_was_used_when_only_amounts_change(
    store: BucketStore, clock: Clock
) -> None:
    await store.reserve([asking("a", 8, BUCKET, WINDOW)])
    assert await remaining(store, token_limit("bucket", burst=20)) == 12
    assert await remaining(store, window_limit("window", maximum=9)) == 1
    assert await remaining(store, window_limit("window", maximum=5)) == 0


async def test_a_changed_rate_counts_from_its_first_use(store: BucketStore, clock: Clock) -> None:
    faster = token_limit("bucket", burst=10, per_second=2)
    await store.reserve([asking("a", 9, BUCKET)])
    await clock.advance(2 * SECOND)
    await store.reserve([asking("b", 1, faster)])
    await clock.advance(2 * SECOND)
    assert await remaining(store, faster) == 6


async def test_peek_takes_nothing_and_shows_the_time_to_reset(store: BucketStore) -> None:
    await store.reserve([asking("a", 4, BUCKET)])
    (first,) = await store.peek(buckets(BUCKET))
    (second,) = await store.peek(buckets(BUCKET))
    assert first == second
    assert (first.remaining, first.reset_after_us, first.exceeded) == (6, 4 * SECOND, False)


async def test_batches_are_decided_in_order_each_by_itself(store: BucketStore) -> None:
    decisions = await store.reserve([asking(f"r{i}", 4, BUCKET, WINDOW) for i in range(4)])
    assert [decision.admitted for decision in decisions] == [True, True, False, False]
    assert [decision.standings[0].remaining for decision in decisions] == [6, 2, 2, 2]


async def test_rates_that_divide_no_interval_are_exact(store: BucketStore, clock: Clock) -> None:
    day = 86_400 * SECOND
    limit = Limit(
        "odd",
        BUCKET.metric,
        type(BUCKET.algorithm)(1_000_003, day, 1_000_003),  # type: ignore[call-arg]
        per=BUCKET.per,
    )
    await store.reserve([asking("a", 1_000_003, limit)])
    await clock.advance(day - 1)
    assert await remaining(store, limit) == 1_000_002
    await clock.advance(1)
    assert await remaining(store, limit) == 1_000_003


@each_algorithm
async def test_what_an_exchange_settles_is_there_for_what_it_reserves(
    store: BucketStore, limit: Limit
) -> None:
    await store.reserve([asking("a", 8, limit)])
    settled, (decision,) = await store.exchange([using("a", 1)], [asking("b", 9, limit)])
    assert (settled, decision.admitted) == ([True], True)
    assert await remaining(store, limit) == 0


async def test_an_exchange_answers_a_reservation_that_it_settles_as_before(store: BucketStore) -> None:
    (first,) = await store.reserve([asking("a", 4, BUCKET, WINDOW)])
    assert await store.exchange(
        [using("a", 1), using("unknown", 1), using("a", 3)], [asking("a", 4, WINDOW)]
    ) == ([True, False, True], [first])
    assert (await remaining(store, BUCKET), await remaining(store, WINDOW)) == (9, 9)


async def test_a_batch_under_different_limits_is_decided_by_each_ones_own(store: BucketStore) -> None:
    narrow, wide = window_limit("narrow", maximum=3), token_limit("wide", burst=100)
    batch = [
        asking("a", 4, narrow),
        asking("b", 4, wide, narrow),
        asking("c", 4, wide),
        asking("d", 3, narrow),
    ]
    assert [decision.admitted for decision in await store.reserve(batch)] == [False, False, True, True]
    assert (await remaining(store, narrow), await remaining(store, wide)) == (0, 96)


async def test_to_peek_under_a_changed_rate_is_no_use_of_it(store: BucketStore, clock: Clock) -> None:
    faster = token_limit("bucket", burst=10, per_second=2)
    await store.reserve([asking("a", 9, BUCKET)])
    for left in (1, 3, 5):
        assert await remaining(store, faster) == left
        await clock.advance(2 * SECOND)
