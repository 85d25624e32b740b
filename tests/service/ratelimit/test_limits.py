"""SetLimit, GetLimit, ListLimits and DeleteLimit, over gRPC."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from headgate.common.v1.caller_pb2 import Caller
from headgate.common.v1.source_pb2 import RESOURCE_SOURCE_API, RESOURCE_SOURCE_FILE
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from services._runtime.errors import Code
from tests.service.ratelimit.calls import caller, fields, hourly, refusal, reserve


@pytest.fixture(scope="module")
def stub(grpc_stub: RateLimitServiceStub) -> RateLimitServiceStub:
    return grpc_stub


def put(stub: RateLimitServiceStub, limit: limit_pb2.Limit) -> limit_pb2.Limit:
    return stub.SetLimit(pb.SetLimitRequest(limit=limit)).limit


def get(stub: RateLimitServiceStub, limit_id: str) -> limit_pb2.Limit:
    return stub.GetLimit(pb.GetLimitRequest(limit_id=limit_id)).limit


def test_a_limit_is_read_as_it_was_set(stub: RateLimitServiceStub) -> None:
    limit = limit_pb2.Limit(
        limit_id="whole",
        selector=limit_pb2.Selector(
            organization_id="acme", user_id="u", key_id="k", model="m", labels={"a": "b"}
        ),
        per=[limit_pb2.DIMENSION_MODEL, limit_pb2.DIMENSION_USER],
        metric=limit_pb2.METRIC_TOTAL_TOKENS,
        token_bucket=limit_pb2.TokenBucket(
            refill_amount=5, refill_interval=Duration(seconds=1, nanos=500_000_000), burst=9
        ),
        shadow=True,
        store_loss_policy=limit_pb2.STORE_LOSS_POLICY_CLOSED,
    )
    stored = put(stub, limit)
    assert stored.etag
    assert stored.source == RESOURCE_SOURCE_API
    assert get(stub, "whole") == stored
    limit.etag, limit.source = stored.etag, stored.source
    assert stored == limit


def test_an_absent_burst_is_the_refill_and_an_absent_policy_stays_absent(stub: RateLimitServiceStub) -> None:
    bucket = limit_pb2.TokenBucket(refill_amount=5, refill_interval=Duration(seconds=1))
    stored = put(
        stub,
        limit_pb2.Limit(limit_id="brief", metric=limit_pb2.METRIC_COST_NANOS, token_bucket=bucket),
    )
    assert stored.token_bucket.burst == 5
    assert stored.store_loss_policy == limit_pb2.STORE_LOSS_POLICY_UNSPECIFIED
    stub.DeleteLimit(pb.DeleteLimitRequest(limit_id="brief"))


def test_a_listing_that_is_known_is_not_told_again_until_a_limit_changes(stub: RateLimitServiceStub) -> None:
    put(stub, hourly("listed", "o", 1))
    first = stub.ListLimits(pb.ListLimitsRequest(page_size=1))
    again = stub.ListLimits(pb.ListLimitsRequest(page_size=1, known_etag=first.etag))
    assert first.etag
    assert again == pb.ListLimitsResponse(etag=first.etag)
    put(stub, hourly("listed", "o", 2))
    changed = stub.ListLimits(pb.ListLimitsRequest(known_etag=first.etag))
    assert changed.etag != first.etag
    assert "listed" in [limit.limit_id for limit in changed.limits]
    stub.DeleteLimit(pb.DeleteLimitRequest(limit_id="listed"))
    assert stub.ListLimits(pb.ListLimitsRequest()).etag != changed.etag


def test_a_stale_etag_changes_nothing(stub: RateLimitServiceStub) -> None:
    first = put(stub, hourly("etag", "etag", 5))
    second = put(stub, hourly("etag", "etag", 6, etag=first.etag))
    error = refusal(stub.SetLimit, pb.SetLimitRequest(limit=hourly("etag", "etag", 7, etag=first.etag)))
    assert (error.code, error.reason) == (Code.ABORTED, "ETAG_MISMATCH")
    stale = pb.DeleteLimitRequest(limit_id="etag", etag=first.etag)
    assert refusal(stub.DeleteLimit, stale).reason == "ETAG_MISMATCH"
    assert get(stub, "etag") == second
    stub.DeleteLimit(pb.DeleteLimitRequest(limit_id="etag", etag=second.etag))
    assert refusal(stub.GetLimit, pb.GetLimitRequest(limit_id="etag")).code is Code.NOT_FOUND


def test_a_deleted_limit_no_longer_binds_and_counts_anew_when_made_again(
    stub: RateLimitServiceStub,
) -> None:
    put(stub, hourly("gone", "gone", 2))
    stub.Reserve(reserve("a", "gone", requests=2))
    stub.DeleteLimit(pb.DeleteLimitRequest(limit_id="gone"))
    assert not stub.Reserve(reserve("b", "gone", requests=5)).statuses
    put(stub, hourly("gone", "gone", 2))
    (status,) = stub.Reserve(reserve("c", "gone", requests=1)).statuses
    assert status.remaining == 1


def test_changed_amounts_keep_what_was_used(stub: RateLimitServiceStub) -> None:
    put(stub, hourly("grown", "grown", 5))
    stub.Reserve(reserve("a", "grown", requests=4))
    put(stub, hourly("grown", "grown", 10))
    (status,) = stub.Peek(pb.PeekRequest(caller=caller("grown"))).statuses
    assert (status.limit, status.remaining) == (10, 6)


def test_what_the_file_declares_binds_and_is_read_only(stub: RateLimitServiceStub) -> None:
    assert get(stub, "file/hourly").source == RESOURCE_SOURCE_FILE
    (status,) = stub.Peek(pb.PeekRequest(caller=caller("filed"))).statuses
    assert (status.limit_id, status.limit) == ("file/hourly", 3)
    for call, request in (
        (stub.SetLimit, pb.SetLimitRequest(limit=hourly("file/hourly", "filed", 9))),
        (stub.DeleteLimit, pb.DeleteLimitRequest(limit_id="file/hourly")),
    ):
        error = refusal(call, request)
        assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "READ_ONLY_RESOURCE")


def test_all_limits_are_listed_in_order_over_pages(stub: RateLimitServiceStub) -> None:
    for number in range(7):
        put(stub, hourly(f"page/{number}", "paged", 5))
    found, token = [], ""
    while True:
        page = stub.ListLimits(pb.ListLimitsRequest(page_size=3, page_token=token))
        assert len(page.limits) <= 3
        found += [limit.limit_id for limit in page.limits]
        token = page.next_page_token
        if not token:
            break
    assert found == sorted(found)
    assert {f"page/{number}" for number in range(7)} | {"file/hourly"} <= set(found)
    everything = stub.ListLimits(pb.ListLimitsRequest())
    assert [limit.limit_id for limit in everything.limits] == found


@pytest.mark.parametrize("token", ["garbage", "!!!", "MTp", "Mjphcw"])
def test_a_token_of_ones_own_making_is_refused(stub: RateLimitServiceStub, token: str) -> None:
    error = refusal(stub.ListLimits, pb.ListLimitsRequest(page_token=token))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
    assert fields(error) == ["page_token"]


LATER = [
    (
        limit_pb2.Limit(
            limit_id="x",
            metric=limit_pb2.METRIC_REQUESTS,
            calendar_window=limit_pb2.CalendarWindow(maximum=1, period=limit_pb2.CALENDAR_PERIOD_DAY),
        ),
        ["limit.calendar_window"],
    ),
    (
        limit_pb2.Limit(
            limit_id="x",
            metric=limit_pb2.METRIC_CONCURRENT_REQUESTS,
            concurrency=limit_pb2.Concurrency(maximum=1),
        ),
        ["limit.concurrency", "limit.metric"],
    ),
    (
        hourly("x", "o", 1, store_loss_policy=limit_pb2.STORE_LOSS_POLICY_LOCAL_SHARE),
        ["limit.store_loss_policy"],
    ),
]


@pytest.mark.parametrize(("limit", "named"), LATER)
def test_what_is_for_a_later_version_is_refused_by_name(
    stub: RateLimitServiceStub, limit: limit_pb2.Limit, named: list[str]
) -> None:
    error = refusal(stub.SetLimit, pb.SetLimitRequest(limit=limit))
    assert (error.code, error.reason) == (Code.UNIMPLEMENTED, "NOT_IMPLEMENTED")
    assert fields(error) == named


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        (hourly("Upper", "o", 1), "limit.limit_id"),
        (hourly("zero", "o", 0), "limit.sliding_window.maximum"),
        (limit_pb2.Limit(limit_id="none", metric=limit_pb2.METRIC_REQUESTS), "limit.algorithm"),
        (hourly("metric", "o", 1, per=[99]), "limit.per[0]"),
    ],
)
def test_a_bad_limit_is_refused_by_its_field(
    stub: RateLimitServiceStub, limit: limit_pb2.Limit, field: str
) -> None:
    error = refusal(stub.SetLimit, pb.SetLimitRequest(limit=limit))
    assert error.code is Code.INVALID_ARGUMENT
    assert fields(error) == [field]


def listed(stub: RateLimitServiceStub, **fields: Any) -> list[str]:
    return [
        limit.limit_id for limit in stub.ListLimits(pb.ListLimitsRequest(page_size=1000, **fields)).limits
    ]


def test_for_a_caller_only_limits_are_listed_that_can_bind_it(stub: RateLimitServiceStub) -> None:
    selectors = {
        "ann": limit_pb2.Selector(organization_id="whose", user_id="ann"),
        "bob": limit_pb2.Selector(organization_id="whose", user_id="bob"),
        "large": limit_pb2.Selector(organization_id="whose", model="large"),
        "red": limit_pb2.Selector(organization_id="whose", labels={"team": "red"}),
        "whole": limit_pb2.Selector(organization_id="whose"),
        "others": limit_pb2.Selector(organization_id="whose-else"),
    }
    for name, selector in selectors.items():
        limit = hourly(f"whose/{name}", "", 5)
        limit.selector.CopyFrom(selector)
        put(stub, limit)
    ann = Caller(organization_id="whose", user_id="ann")
    assert listed(stub, caller=ann) == ["whose/ann", "whose/large", "whose/whole"]
    assert listed(stub, caller=ann, labels={"team": "red", "env": "test"}) == [
        "whose/ann",
        "whose/large",
        "whose/red",
        "whose/whole",
    ]
    first = stub.ListLimits(pb.ListLimitsRequest(page_size=2, caller=ann))
    second = stub.ListLimits(pb.ListLimitsRequest(page_size=2, caller=ann, page_token=first.next_page_token))
    assert [limit.limit_id for limit in (*first.limits, *second.limits)] == listed(stub, caller=ann)
    assert second.next_page_token == ""


def test_a_peek_at_several_models_shows_each_bucket_once_with_its_model(stub: RateLimitServiceStub) -> None:
    put(stub, hourly("models/all", "models", 9))
    put(stub, hourly("models/each", "models", 5, per=[limit_pb2.DIMENSION_MODEL]))
    stub.Reserve(reserve("a", "models", requests=3, model="small"))
    request = pb.PeekRequest(caller=caller("models"), model="small", models=["large", "small"])
    shown = [(each.limit_id, each.model, each.remaining) for each in stub.Peek(request).statuses]
    assert shown == [("models/all", "", 6), ("models/each", "large", 5), ("models/each", "small", 2)]
    (status, _) = stub.Reserve(reserve("b", "models", requests=1, model="small")).statuses
    assert status.model == ""
