"""What happened is booked, and its hold resolved, whatever text came with it; in each store."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.billing.v1 import billing_service_pb2 as pb
from headgate.billing.v1 import budget_pb2, usage_pb2
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from tests.service.billing.calls import RECORD_NANOS, authorize, capture, record
from tests.support.texts import TEXT

NUMBERS = itertools.count(1)
NAMES = ("requested_model", "end_user_id", "service_tier")
CLEANED = {"headgate/cleaned": "true"}
TEXTS = TEXT.map(lambda text: text[:64])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    url = request.getfixturevalue("postgres_server").new_database()
    return {"HEADGATE_BILLING_STORE": url, "HEADGATE_BILLING_KEY_PEPPER": "p" * 32}


def watch(stub: BillingServiceStub) -> budget_pb2.Budget:
    """The organisation's one budget, which every example shares."""
    budget = budget_pb2.Budget(
        budget_id="all", organization_id="acme", limit_nanos=10**12, period=budget_pb2.BUDGET_PERIOD_TOTAL
    )
    return stub.SetBudget(pb.SetBudgetRequest(budget=budget)).budget


def kept(text: str) -> str:
    return text.replace("\0", "\ufffd")


def test_what_happened_is_booked_whatever_it_is_called(grpc_stub: BillingServiceStub) -> None:
    watch(grpc_stub)

    @settings(max_examples=150)
    @given(st.fixed_dictionaries(dict.fromkeys(NAMES, TEXTS)), st.dictionaries(TEXTS, TEXTS, max_size=4))
    @example(dict.fromkeys(NAMES, "\0"), {"\0": "\0", "": ""})
    def check(names: dict[str, str], labels: dict[str, str]) -> None:
        number = next(NUMBERS)
        hold_id, attempt_id = f"h-{number}", f"a-{number}"
        before = grpc_stub.GetBudget(pb.GetBudgetRequest(budget_id="all")).budget
        grpc_stub.Authorize(authorize(hold_id))
        odd = record(attempt_id, labels=labels, **names)
        booked = grpc_stub.Capture(capture(hold_id, odd))
        assert booked.hold_captured
        # Told again, it is the same.
        assert grpc_stub.Capture(capture(hold_id, odd)) == booked
        after = grpc_stub.GetBudget(pb.GetBudgetRequest(budget_id="all")).budget
        assert (after.spent_nanos - before.spent_nanos, after.held_nanos) == (booked.total_nanos, 0)
        check_entry(attempt_id, names, labels)

    def check_entry(attempt_id: str, names: dict[str, str], labels: dict[str, str]) -> None:
        where = usage_pb2.UsageFilter(organization_id="acme")
        entries = grpc_stub.ListUsage(pb.ListUsageRequest(filter=where, page_size=1000)).entries
        (found,) = (entry.record for entry in entries if entry.record.attempt_id == attempt_id)
        assert {name: getattr(found, name) for name in NAMES} == {n: kept(t) for n, t in names.items()}
        is_cleaned = "\0" in "".join([*names.values(), *labels, *labels.values()])
        clean = {kept(name): kept(text) for name, text in labels.items()}
        assert found.labels == (clean | CLEANED if is_cleaned else clean)

    check()


def test_usage_that_is_told_without_a_hold_is_booked_too(grpc_stub: BillingServiceStub) -> None:
    odd = record("told", "other", end_user_id="\0", labels={"x\0": "\0"})
    (result,) = grpc_stub.RecordUsage(pb.RecordUsageRequest(records=[odd])).results
    assert result.cost.amount_nanos == RECORD_NANOS


def test_in_a_batch_each_hold_is_resolved(grpc_stub: BillingServiceStub) -> None:
    texts = ["\0", "plain", "\uffff\0", "𓀀"]
    for number, _ in enumerate(texts):
        grpc_stub.Authorize(authorize(f"batch-{number}"))
    batch = [
        capture(f"batch-{number}", record(f"of-batch-{number}", end_user_id=text))
        for number, text in enumerate(texts)
    ]
    results = grpc_stub.BatchCapture(pb.BatchCaptureRequest(requests=batch)).results
    assert [result.response.hold_captured for result in results] == [True] * 4
    assert not grpc_stub.ListHolds(pb.ListHoldsRequest()).holds
