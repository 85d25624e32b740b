"""Holds, captures and usage over real gRPC."""

import asyncio

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from headgate.billing.v1 import billing_service_pb2 as pb
from headgate.billing.v1 import budget_pb2, usage_pb2
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.common.v1 import cache_status_pb2
from headgate.common.v1.usage_pb2 import TokenUsage
from services._runtime.errors import Code
from services._runtime.status import from_status
from services._runtime.telemetry.telemetry import Telemetry
from tests.service.billing.calls import (
    INPUT_NANOS,
    OUTPUT_NANOS,
    RECORD_NANOS,
    authorize,
    capture,
    record,
    refusal,
)


def set_budget(stub: BillingServiceStub, organization_id: str, limit_nanos: int) -> None:
    budget = budget_pb2.Budget(
        budget_id=f"budget-of-{organization_id}",
        organization_id=organization_id,
        limit_nanos=limit_nanos,
        period=budget_pb2.BUDGET_PERIOD_TOTAL,
    )
    stub.SetBudget(pb.SetBudgetRequest(budget=budget))


def test_a_request_is_held_for_captured_and_found_in_the_ledger(grpc_stub: BillingServiceStub) -> None:
    held = grpc_stub.Authorize(authorize("h1", "whole"))
    captured = grpc_stub.Capture(capture("h1", record("a1", "whole", labels={"team": "x"})))
    assert held.amount_nanos == 100 * INPUT_NANOS + 10 * OUTPUT_NANOS
    assert (captured.total_nanos, captured.hold_captured) == (RECORD_NANOS, True)
    assert captured.costs[0].price_id.startswith("genai-prices-")
    listed = grpc_stub.ListUsage(pb.ListUsageRequest(filter=usage_pb2.UsageFilter(organization_id="whole")))
    (entry,) = listed.entries
    assert entry.record.labels == {"team": "x"}
    assert entry.record.usage.total_tokens == 110
    assert (entry.cost, entry.hold_id) == (captured.costs[0], "h1")


def test_what_was_used_is_booked_whatever_it_is_called(grpc_stub: BillingServiceStub) -> None:
    grpc_stub.Authorize(authorize("h-text", "texts"))
    odd = record(
        "a-text",
        "texts",
        end_user_id="a\0b",
        service_tier="\0",
        requested_model="m\0",
        labels={"\0": "x", "y": "\0\0"},
    )
    captured = grpc_stub.Capture(capture("h-text", odd))
    assert (captured.total_nanos, captured.hold_captured) == (RECORD_NANOS, True)
    # Told again, it is the same.
    assert grpc_stub.Capture(capture("h-text", odd)).total_nanos == RECORD_NANOS
    listed = grpc_stub.ListUsage(pb.ListUsageRequest(filter=usage_pb2.UsageFilter(organization_id="texts")))
    (entry,) = listed.entries
    kept = entry.record
    assert (kept.end_user_id, kept.service_tier, kept.requested_model) == ("a\ufffdb", "\ufffd", "m\ufffd")
    assert kept.labels == {"\ufffd": "x", "y": "\ufffd\ufffd", "headgate/cleaned": "true"}


def test_a_bad_item_of_a_batch_does_not_fail_its_neighbours(grpc_stub: BillingServiceStub) -> None:
    grpc_stub.Capture(capture("", record("booked", "batch")))
    other = record("booked", "batch", model="gpt-4o-mini")
    broken = record("broken", "batch", usage=TokenUsage(input_tokens=-1))
    answer = grpc_stub.BatchCapture(
        pb.BatchCaptureRequest(
            requests=[
                capture("", record("b1", "batch")),
                capture("", other),
                capture("", record("b2", "batch"), broken),
                capture("", record("b3", "batch")),
            ]
        )
    )
    kinds = [result.WhichOneof("result") for result in answer.results]
    assert kinds == ["response", "error", "error", "response"]
    assert from_status(answer.results[1].error).reason == "USAGE_CONFLICT"
    invalid = from_status(answer.results[2].error)
    assert invalid.reason == "INVALID_FIELD"
    assert "records[1].usage.input_tokens" in {violation.field for violation in invalid.field_violations}
    assert from_status(answer.results[2].error).domain == "billing.headgate"


def test_an_exchange_books_first_so_that_what_was_held_can_be_held_again(
    grpc_stub: BillingServiceStub, telemetry: Telemetry
) -> None:
    each = 100 * INPUT_NANOS + 10 * OUTPUT_NANOS
    set_budget(grpc_stub, "exchange", 2 * each)
    grpc_stub.BatchAuthorize(
        pb.BatchAuthorizeRequest(requests=[authorize(f"e{n}", "exchange") for n in range(2)])
    )
    request = pb.ExchangeRequest()
    request.authorize.requests.extend(authorize(f"e{n}", "exchange") for n in (2, 3))
    cached = {"cache_status": cache_status_pb2.CACHE_STATUS_EXACT}
    request.capture.requests.append(capture("e0", record("e0.1", "exchange", **cached)))
    before = commits(telemetry)
    (answer,) = grpc_stub.Exchange(iter([request]))
    assert commits(telemetry) == before + 1
    assert answer.capture.results[0].response.hold_captured
    assert [result.WhichOneof("result") for result in answer.authorize.results] == ["response", "error"]


def test_a_bad_item_of_an_exchange_does_not_fail_its_neighbours(grpc_stub: BillingServiceStub) -> None:
    request = pb.ExchangeRequest()
    request.capture.requests.extend([capture("", record("", "x1")), capture("", record("x1", "x1"))])
    request.authorize.requests.extend([authorize("", "x1"), authorize("x1", "x1")])
    (answer,) = grpc_stub.Exchange(iter([request]))
    for results in (answer.capture.results, answer.authorize.results):
        assert [result.WhichOneof("result") for result in results] == ["error", "response"]


def test_an_exchange_may_have_one_kind_of_call_only(grpc_stub: BillingServiceStub) -> None:
    request = pb.ExchangeRequest()
    request.authorize.requests.append(authorize("alone", "alone"))
    (answer,) = grpc_stub.Exchange(iter([request]))
    assert len(answer.authorize.results) == 1
    assert not answer.HasField("capture")


def commits(telemetry: Telemetry) -> float:
    return telemetry.registry.get_sample_value("headgate_billing_commit_operations_count") or 0.0


def test_usage_without_holds_is_booked_item_by_item(grpc_stub: BillingServiceStub) -> None:
    nul = record("with-\0-nul", "recorded")
    answer = grpc_stub.RecordUsage(pb.RecordUsageRequest(records=[record("r1", "recorded"), nul]))
    assert answer.results[0].cost.amount_nanos == RECORD_NANOS
    refused = from_status(answer.results[1].error)
    assert [violation.field for violation in refused.field_violations] == ["attempt_id"]


def test_a_budget_refuses_what_does_not_fit_and_names_itself(grpc_stub: BillingServiceStub) -> None:
    each = 100 * INPUT_NANOS + 10 * OUTPUT_NANOS
    set_budget(grpc_stub, "poor", 2 * each)
    requests = [authorize(f"poor-{n}", "poor") for n in range(3)]
    answer = grpc_stub.BatchAuthorize(pb.BatchAuthorizeRequest(requests=requests))
    assert [result.WhichOneof("result") for result in answer.results] == ["response", "response", "error"]
    refused = refusal(grpc_stub.Authorize, authorize("poor-4", "poor"))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    assert refused.quota_violations[0].subject == "budget:budget-of-poor"
    grpc_stub.Void(pb.VoidRequest(hold_id="poor-0"))
    assert grpc_stub.Authorize(authorize("poor-5", "poor")).amount_nanos == each


def test_64_concurrent_holds_never_take_more_than_the_budget(
    grpc_stub: BillingServiceStub, grpc_addr: str
) -> None:
    each = 100 * INPUT_NANOS + 10 * OUTPUT_NANOS
    set_budget(grpc_stub, "crowd", 10 * each)

    async def crowd() -> list[str]:
        async with grpc.aio.insecure_channel(grpc_addr) as channel:
            stub = BillingServiceStub(channel)
            calls = [stub.Authorize(authorize(f"crowd-{n}", "crowd")) for n in range(64)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
        return ["refused" if isinstance(answer, grpc.RpcError) else "held" for answer in answers]

    outcomes = asyncio.run(crowd())
    assert outcomes.count("held") == 10
    assert outcomes.count("refused") == 54
    budget = grpc_stub.GetBudget(pb.GetBudgetRequest(budget_id="budget-of-crowd")).budget
    assert (budget.held_nanos, budget.spent_nanos) == (10 * each, 0)


def test_usage_is_summed_in_pages(grpc_stub: BillingServiceStub) -> None:
    records = [
        record(f"p{n}", "paged", model=model)
        for n, model in enumerate(["gpt-4o", "gpt-4o", "gpt-4o-mini", "unheard-of"])
    ]
    grpc_stub.RecordUsage(pb.RecordUsageRequest(records=records))
    query = pb.QueryUsageRequest(
        filter=usage_pb2.UsageFilter(organization_id="paged"),
        group_by=[usage_pb2.USAGE_DIMENSION_MODEL, usage_pb2.USAGE_DIMENSION_DAY],
        page_size=2,
    )
    first = grpc_stub.QueryUsage(query)
    assert [(row.model, row.day, row.attempts) for row in first.rows] == [
        ("gpt-4o", "2026-11-23", 2),
        ("gpt-4o-mini", "2026-11-23", 1),
    ]
    query.page_token = first.next_page_token
    second = grpc_stub.QueryUsage(query)
    assert [(row.model, row.unpriced_attempts, row.cost_nanos) for row in second.rows] == [
        ("unheard-of", 1, 0)
    ]
    assert second.next_page_token == ""


@pytest.mark.parametrize("token", ["x", "AAAA", "ÿ", "a" * 200])
def test_a_page_token_of_nobody_is_refused(grpc_stub: BillingServiceStub, token: str) -> None:
    for call, request in (
        (grpc_stub.QueryUsage, pb.QueryUsageRequest(page_token=token)),
        (grpc_stub.ListUsage, pb.ListUsageRequest(page_token=token)),
        (grpc_stub.ListPrices, pb.ListPricesRequest(page_token=token)),
        (grpc_stub.ListBudgets, pb.ListBudgetsRequest(page_token=token)),
    ):
        assert refusal(call, request).reason == "INVALID_PAGE_TOKEN"


def test_a_page_token_of_another_query_is_refused(grpc_stub: BillingServiceStub) -> None:
    grpc_stub.RecordUsage(pb.RecordUsageRequest(records=[record("t1", "token"), record("t2", "token")]))
    where = usage_pb2.UsageFilter(organization_id="token")
    token = grpc_stub.ListUsage(pb.ListUsageRequest(filter=where, page_size=1)).next_page_token
    rest = grpc_stub.ListUsage(pb.ListUsageRequest(filter=where, page_token=token))
    assert [entry.record.attempt_id for entry in rest.entries] == ["t1"]
    assert refusal(grpc_stub.ListUsage, pb.ListUsageRequest(page_token=token)).reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (capture("", record("x", end_time=Timestamp(seconds=-1))), "records[0].end_time"),
        (capture("", record("x", start_time=Timestamp(seconds=10**11))), "records[0].start_time"),
        (capture("", record("x", usage=TokenUsage(output_tokens=-1))), "records[0].usage.output_tokens"),
        (capture("", record("x", usage=TokenUsage(output_tokens=10**12))), "records[0].usage"),
        (capture("", record("x"), record("")), "records[1].attempt_id"),
        (capture("x" * 129, record("x")), "hold_id"),
        (pb.CaptureRequest(hold_id="h"), "records"),
    ],
)
def test_a_bad_field_is_named(grpc_stub: BillingServiceStub, request_: pb.CaptureRequest, field: str) -> None:
    refused = refusal(grpc_stub.Capture, request_)
    assert (refused.code, refused.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert field in {violation.field for violation in refused.field_violations}


def test_what_is_not_in_this_version_says_so(grpc_stub: BillingServiceStub) -> None:
    export = pb.ExportUsageRequest(format=pb.EXPORT_FORMAT_CSV)
    assert refusal(grpc_stub.ExportUsage, export).reason == "NOT_IMPLEMENTED"
    assert refusal(grpc_stub.WatchAlerts, pb.WatchAlertsRequest()).code is Code.UNIMPLEMENTED


def test_what_was_booked_is_in_the_metrics(grpc_stub: BillingServiceStub, telemetry: Telemetry) -> None:
    def booked() -> tuple[float, float]:
        names = ("headgate_billing_records_booked_total", "headgate_billing_captured_nanos_total")
        count, nanos = (telemetry.registry.get_sample_value(name) for name in names)
        return count or 0.0, nanos or 0.0

    before = booked()
    grpc_stub.Capture(capture("", record("metered")))
    grpc_stub.Capture(capture("", record("metered")))
    assert booked() == (before[0] + 1, before[1] + RECORD_NANOS)
