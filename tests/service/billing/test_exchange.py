"""Exchange answers as the batches in it do, one request after another on one stream."""

from headgate.billing.v1 import billing_service_pb2 as pb
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.common.v1.cache_status_pb2 import CACHE_STATUS_EXACT
from services._runtime.status import from_status
from tests.service.billing.calls import RECORD_NANOS, authorize, capture, record
from tests.service.billing.test_money import set_budget


def exchange(stub: BillingServiceStub, *requests: pb.ExchangeRequest) -> list[pb.ExchangeResponse]:
    return list(stub.Exchange(iter(requests), timeout=20))


def reasons(batch: pb.BatchAuthorizeResponse | pb.BatchCaptureResponse) -> list[str]:
    """Of each result; empty for one that is no error."""
    return [from_status(each.error).reason if each.HasField("error") else "" for each in batch.results]


def test_authorisations_are_answered_as_by_their_batch(grpc_stub: BillingServiceStub) -> None:
    def batch(organization_id: str) -> pb.BatchAuthorizeRequest:
        return pb.BatchAuthorizeRequest(
            requests=[
                authorize(f"{organization_id}-1", organization_id),
                authorize("", organization_id),
                authorize(f"{organization_id}-2", organization_id, input_tokens=10**9),
            ]
        )

    for organization_id in ("batched", "exchanged"):
        set_budget(grpc_stub, organization_id, 10**9)
    batched = grpc_stub.BatchAuthorize(batch("batched"))
    (exchanged,) = exchange(grpc_stub, pb.ExchangeRequest(authorize=batch("exchanged")))
    assert reasons(exchanged.authorize) == reasons(batched) == ["", "INVALID_FIELD", "BUDGET_EXCEEDED"]
    held, expected = exchanged.authorize.results[0].response, batched.results[0].response
    assert held.amount_nanos == expected.amount_nanos > 0
    assert not exchanged.HasField("capture")


def test_captures_are_answered_as_by_their_batch(grpc_stub: BillingServiceStub) -> None:
    batch = pb.BatchCaptureRequest(
        requests=[capture("", record("whole", "twice")), capture("", record("", "twice"))]
    )
    batched = grpc_stub.BatchCapture(batch)
    (exchanged,) = exchange(grpc_stub, pb.ExchangeRequest(capture=batch))
    assert reasons(exchanged.capture) == reasons(batched) == ["", "INVALID_FIELD"]
    assert exchanged.capture.results[0].response.total_nanos == RECORD_NANOS
    assert not exchanged.HasField("authorize")


def test_each_request_of_a_stream_sees_what_the_one_before_did(grpc_stub: BillingServiceStub) -> None:
    asked = authorize("o-1", "ordered")
    set_budget(grpc_stub, "ordered", grpc_stub.Authorize(asked).amount_nanos)
    from_cache = record("o-1.1", "ordered", cache_status=CACHE_STATUS_EXACT)
    booking = pb.BatchCaptureRequest(requests=[capture("o-1", from_cache)])
    answers = exchange(
        grpc_stub,
        pb.ExchangeRequest(authorize=pb.BatchAuthorizeRequest(requests=[authorize("o-2", "ordered")])),
        pb.ExchangeRequest(capture=booking),
        pb.ExchangeRequest(authorize=pb.BatchAuthorizeRequest(requests=[authorize("o-3", "ordered")])),
    )
    assert [reasons(answer.authorize) for answer in answers] == [["BUDGET_EXCEEDED"], [], [""]]
    assert answers[1].capture.results[0].response.hold_captured
