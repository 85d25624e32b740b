"""Reserve, Settle, Release, Renew, Peek and the batches, over gRPC."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from services._runtime.errors import Code
from services._runtime.status import from_status
from services._runtime.telemetry.telemetry import Telemetry
from tests.service.ratelimit.calls import caller, fields, hourly, refusal, reserve, settle


@pytest.fixture(scope="module")
def stub(grpc_stub: RateLimitServiceStub) -> RateLimitServiceStub:
    return grpc_stub


def limit(stub: RateLimitServiceStub, organization_id: str, maximum: int) -> None:
    stub.SetLimit(pb.SetLimitRequest(limit=hourly(f"of/{organization_id}", organization_id, maximum)))


def remaining(stub: RateLimitServiceStub, organization_id: str) -> int:
    (status,) = stub.Peek(pb.PeekRequest(caller=caller(organization_id))).statuses
    return status.remaining


def test_a_reservation_answers_with_every_limit_as_it_stands(stub: RateLimitServiceStub) -> None:
    limit(stub, "standing", 10)
    (status,) = stub.Reserve(reserve("r", "standing", requests=4)).statuses
    assert (status.limit_id, status.limit, status.remaining) == ("of/standing", 10, 6)
    assert 3600 <= status.reset_after.ToTimedelta().total_seconds() <= 3660


def test_a_refusal_names_the_limit_and_when_to_retry(stub: RateLimitServiceStub) -> None:
    limit(stub, "full", 2)
    stub.Reserve(reserve("a", "full", requests=2))
    error = refusal(stub.Reserve, reserve("b", "full", requests=1))
    assert (error.code, error.reason, error.domain) == (
        Code.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "ratelimit.headgate",
    )
    assert [violation.subject for violation in error.quota_violations] == ["limit:of/full"]
    assert error.metadata["limit_id"] == "of/full"
    assert error.retry_after_seconds == pytest.approx(3630, abs=31)
    assert error.retryable


def test_what_can_never_fit_says_so_and_names_no_time(stub: RateLimitServiceStub) -> None:
    limit(stub, "narrow", 2)
    error = refusal(stub.Reserve, reserve("a", "narrow", requests=3))
    assert "can never fit" in error.message
    assert error.retry_after_seconds is None
    assert not error.retryable
    assert remaining(stub, "narrow") == 2


def test_settling_releasing_and_renewing_a_reservation(stub: RateLimitServiceStub) -> None:
    limit(stub, "lives", 10)
    stub.Reserve(reserve("a", "lives", requests=4))
    stub.Reserve(reserve("b", "lives", requests=4))
    renew = pb.RenewRequest(reservation_id="b", caller=caller("lives"))
    renew.ttl.seconds = 900
    expires = stub.Renew(renew).expire_time.ToSeconds()
    assert 890 < expires - time.time() <= 901
    assert stub.Settle(settle("a", "lives", requests=1)).settled
    assert stub.Settle(settle("a", "lives", requests=1)).settled
    release = pb.ReleaseRequest(reservation_id="b", caller=caller("lives"))
    assert stub.Release(release).released
    assert stub.Release(release).released
    assert remaining(stub, "lives") == 9
    assert refusal(stub.Renew, renew).reason == "RESERVATION_NOT_FOUND"


def test_a_retry_takes_once(stub: RateLimitServiceStub) -> None:
    limit(stub, "retry", 10)
    first = stub.Reserve(reserve("a", "retry", requests=4))
    assert stub.Reserve(reserve("a", "retry", requests=4)) == first
    assert remaining(stub, "retry") == 6


def test_an_unknown_reservation_is_no_error(stub: RateLimitServiceStub) -> None:
    limit(stub, "unknown", 10)
    assert not stub.Settle(settle("never", "unknown")).settled


def test_a_request_that_no_limit_binds_is_admitted_and_settled(stub: RateLimitServiceStub) -> None:
    assert not stub.Reserve(reserve("free", "unbound", requests=10**9)).statuses
    assert stub.Settle(settle("free", "unbound")).settled
    assert stub.Release(pb.ReleaseRequest(reservation_id="free", caller=caller("unbound"))).released


def test_a_batch_decides_each_item_by_itself(stub: RateLimitServiceStub) -> None:
    limit(stub, "batch", 2)
    requests = [reserve(f"r{number}", "batch", requests=1) for number in range(3)]
    requests.insert(1, reserve("negative", "batch", requests=-1))
    requests.append(reserve("free", "unbound", requests=1))
    results = stub.BatchReserve(pb.BatchReserveRequest(requests=requests)).results
    assert [result.WhichOneof("result") for result in results] == [
        "response",
        "error",
        "response",
        "error",
        "response",
    ]
    assert fields(from_status(results[1].error)) == ["amounts.requests"]
    refused = from_status(results[3].error)
    assert (refused.reason, refused.metadata["limit_id"]) == ("RATE_LIMITED", "of/batch")
    settled = stub.BatchSettle(
        pb.BatchSettleRequest(
            requests=[settle("r0", "batch", requests=1), settle("r2", "batch"), settle("r1", "batch")]
        )
    )
    assert [result.response.settled for result in settled.results] == [True, False, True]
    assert remaining(stub, "batch") == 1


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (reserve("", "o", requests=1), "reservation_id"),
        (reserve("r", "", requests=1), "caller.organization_id"),
        (reserve("r", "o", requests=-1), "amounts.requests"),
        (reserve("r", "o", input_tokens=-5), "amounts.input_tokens"),
        (pb.ReserveRequest(reservation_id="r", caller=caller("o")), "amounts"),
        (pb.ReserveRequest(reservation_id="r", amounts=pb.Amounts()), "caller"),
    ],
)
def test_a_bad_field_is_named(stub: RateLimitServiceStub, request_: pb.ReserveRequest, field: str) -> None:
    error = refusal(stub.Reserve, request_)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert fields(error) == [field]


@pytest.mark.parametrize("count", [0, 257])
def test_a_batch_has_one_to_256_items(stub: RateLimitServiceStub, count: int) -> None:
    batch = pb.BatchReserveRequest(requests=[reserve(f"r{number}", "o") for number in range(count)])
    assert fields(refusal(stub.BatchReserve, batch)) == ["requests"]


def test_sixty_four_clients_at_once_never_exceed_the_limit(stub: RateLimitServiceStub) -> None:
    limit(stub, "crowd", 100)

    def run(client: int) -> int:
        admitted = 0
        for turn in range(4):
            batch = [reserve(f"{client}-{turn}-{number}", "crowd", requests=1) for number in range(2)]
            results = stub.BatchReserve(pb.BatchReserveRequest(requests=batch), timeout=60).results
            admitted += sum(result.HasField("response") for result in results)
        return admitted

    with ThreadPoolExecutor(64) as pool:
        assert sum(pool.map(run, range(64))) == 100
    assert remaining(stub, "crowd") == 0


def test_refusals_are_counted_by_limit(stub: RateLimitServiceStub, telemetry: Telemetry) -> None:
    limit(stub, "counted", 1)
    labels = {"limit_id": "of/counted", "shadow": "false"}
    for number in range(3):
        stub.BatchReserve(pb.BatchReserveRequest(requests=[reserve(f"r{number}", "counted", requests=1)]))
    assert telemetry.registry.get_sample_value("headgate_ratelimit_refusals_total", labels) == 2
