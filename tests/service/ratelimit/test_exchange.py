"""Exchange answers as the batches in it do, one request after another on one stream."""

import pytest

from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from services._runtime.status import from_status
from tests.service.ratelimit.calls import hourly, reserve, settle


@pytest.fixture(scope="module")
def stub(grpc_stub: RateLimitServiceStub) -> RateLimitServiceStub:
    return grpc_stub


def limit(stub: RateLimitServiceStub, organization_id: str, maximum: int) -> None:
    stub.SetLimit(pb.SetLimitRequest(limit=hourly(f"of/{organization_id}", organization_id, maximum)))


def reservations(organization_id: str) -> pb.BatchReserveRequest:
    """One that fits, one that breaks the contract, one that does not fit, and one without a limit."""
    return pb.BatchReserveRequest(
        requests=[
            reserve("a", organization_id, requests=2),
            reserve("", organization_id),
            reserve("b", organization_id, requests=2),
            reserve("c", "nobody"),
        ]
    )


def settlements(organization_id: str) -> pb.BatchSettleRequest:
    return pb.BatchSettleRequest(
        requests=[settle("a", organization_id, requests=1), settle("", organization_id), settle("z", "x")]
    )


def told(response: pb.BatchReserveResponse) -> list[object]:
    return [
        from_status(result.error).reason
        if result.HasField("error")
        else [(status.limit, status.remaining) for status in result.response.statuses]
        for result in response.results
    ]


def test_reservations_are_answered_as_by_their_batch(stub: RateLimitServiceStub) -> None:
    for organization_id in ("batched", "exchanged"):
        limit(stub, organization_id, 3)
    batched = stub.BatchReserve(reservations("batched"))
    (exchanged,) = stub.Exchange(iter([pb.ExchangeRequest(reserve=reservations("exchanged"))]), timeout=20)
    assert told(exchanged.reserve) == told(batched) == [[(3, 1)], "INVALID_FIELD", "RATE_LIMITED", []]
    assert not exchanged.HasField("settle")


def test_settlements_are_answered_as_by_their_batch(stub: RateLimitServiceStub) -> None:
    for organization_id in ("batched", "exchanged"):
        limit(stub, organization_id, 3)
        stub.Reserve(reserve("a", organization_id, requests=1))
    batched = stub.BatchSettle(settlements("batched"))
    (exchanged,) = stub.Exchange(iter([pb.ExchangeRequest(settle=settlements("exchanged"))]), timeout=20)
    assert exchanged.settle == batched
    assert [result.WhichOneof("result") for result in batched.results] == ["response", "error", "response"]
    assert not exchanged.HasField("reserve")


def test_what_a_settlement_gives_back_can_be_reserved_in_the_same_request(stub: RateLimitServiceStub) -> None:
    limit(stub, "returned", 2)
    stub.Reserve(reserve("a", "returned", requests=2))
    request = pb.ExchangeRequest()
    request.settle.requests.append(settle("a", "returned", requests=1))
    request.reserve.requests.append(reserve("b", "returned", requests=1))
    (answer,) = stub.Exchange(iter([request]), timeout=20)
    assert answer.settle.results[0].response.settled
    assert told(answer.reserve) == [[(2, 0)]]


def test_requests_of_one_stream_are_answered_in_order(stub: RateLimitServiceStub) -> None:
    limit(stub, "ordered", 3)
    requests = [pb.ExchangeRequest() for _ in range(5)]
    for number, request in enumerate(requests):
        request.reserve.requests.append(reserve(f"r{number}", "ordered", requests=1))
    answers = [told(answer.reserve)[0] for answer in stub.Exchange(iter(requests), timeout=20)]
    assert answers == [[(3, 2)], [(3, 1)], [(3, 0)], "RATE_LIMITED", "RATE_LIMITED"]
