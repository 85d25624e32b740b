"""What an attempt used: the provider's count where it stands, else an estimate that says so."""

import pytest

from headgate.chat.v1 import finish_reason_pb2
from headgate.common.v1 import cache_status_pb2, outcome_pb2, usage_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.rpc.validation import validate
from services.router.answers.leg import Leg, total_usage
from services.router.targets.catalog import Target
from services.router.targets.provider import Chunk, FailureKind
from tests.support.router_peers import ACME, ScriptedProvider, counted, ended, said

PROVIDER, ESTIMATED = usage_pb2.USAGE_SOURCE_PROVIDER, usage_pb2.USAGE_SOURCE_ESTIMATED
TARGET = Target("a", "sim", "simulator", "sim-a", ScriptedProvider([]))


def leg(*chunks: Chunk) -> Leg:
    begun = Leg("c.1", TARGET, start_ns=100, estimated_input_tokens=30)
    for chunk in chunks:
        begun.take(chunk, 150)
    return begun


def used(ended_leg: Leg) -> tuple[int, int, int, usage_pb2.UsageSource.ValueType]:
    usage = ended_leg.usage()
    return usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.source


def test_a_whole_answer_used_what_the_provider_says() -> None:
    complete = leg(said("a", "b", "c"), ended(usage=(7, 2)))
    complete.complete(200)
    assert used(complete) == (7, 2, 9, PROVIDER)


@pytest.mark.parametrize("first_ns", [50, 100, 150])
def test_a_clock_that_was_set_back_leaves_a_record_that_billing_takes(first_ns: int) -> None:
    begun = Leg("c.1", TARGET, start_ns=100, estimated_input_tokens=30)
    begun.take(said("a"), first_ns)
    begun.take(ended(usage=(7, 1)), first_ns)
    begun.complete(first_ns)
    record = begun.record("c", ACME, completion_pb2.CompletionRequest(model="m"), looked=False)
    validate(record)
    assert record.time_to_first_token.ToNanoseconds() == max(0, first_ns - 100)
    assert begun.attempt().duration.ToNanoseconds() == max(0, first_ns - 100)


def test_a_whole_answer_without_usage_is_estimated_by_its_pieces() -> None:
    complete = leg(said("a", "b", "c"), ended())
    complete.complete(200)
    assert used(complete) == (30, 3, 33, ESTIMATED)


def test_an_estimate_is_never_more_than_was_asked_for() -> None:
    complete = leg(said("a", "b", "c"), ended())
    complete.most_output_tokens = 2
    complete.complete(200)
    assert used(complete) == (30, 2, 32, ESTIMATED)
    broken_off = leg(said("a", "b", "c", usage=(7, 1)))
    broken_off.most_output_tokens = 2
    broken_off.fail(FailureKind.INTERRUPTED, "it broke", 200)
    assert used(broken_off) == (7, 2, 9, ESTIMATED)


def test_an_answer_that_was_cut_for_going_on_is_estimated_by_all_its_pieces() -> None:
    cut = leg(said("a", "b", "c"))
    cut.most_output_tokens = 2
    cut.cut(1)
    cut.complete(200)
    assert used(cut) == (30, 3, 33, ESTIMATED)


def test_a_stopped_answer_that_the_provider_counted_so_far_is_not_estimated() -> None:
    stopped = leg(said("a", "b", usage=(7, 2)))
    stopped.stop(outcome_pb2.OUTCOME_CANCELLED, 200)
    assert used(stopped) == (7, 2, 9, PROVIDER)


def test_pieces_after_the_last_count_are_added_and_make_it_an_estimate() -> None:
    stopped = leg(said("a", "b", usage=(7, 2)), said("c"))
    stopped.stop(outcome_pb2.OUTCOME_CANCELLED, 200)
    assert used(stopped) == (7, 3, 10, ESTIMATED)


def test_a_count_of_the_input_alone_stays_an_estimate() -> None:
    stopped = leg(Chunk([], counted(7, 1, whole=False)))
    stopped.stop(outcome_pb2.OUTCOME_CANCELLED, 200)
    assert used(stopped) == (7, 1, 8, ESTIMATED)


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.CONNECT,
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.CREDENTIAL,
        FailureKind.MODEL_NOT_FOUND,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.REJECTED,
    ],
)
def test_a_provider_that_refused_used_nothing(kind: FailureKind) -> None:
    failed = leg()
    failed.fail(kind, "no", 200)
    assert used(failed) == (0, 0, 0, PROVIDER)


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.INTERRUPTED, FailureKind.MALFORMED])
def test_a_provider_that_may_have_begun_is_taken_to_have_read_the_prompt(kind: FailureKind) -> None:
    failed = leg()
    failed.fail(kind, "no", 200)
    assert used(failed) == (30, 0, 30, ESTIMATED)


def test_a_failure_after_output_used_what_was_sent() -> None:
    failed = leg(said("a", "b"))
    failed.fail(FailureKind.OVERLOADED, "no", 200)
    assert used(failed) == (30, 2, 32, ESTIMATED)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (finish_reason_pb2.FINISH_REASON_STOP, outcome_pb2.OUTCOME_COMPLETE),
        (finish_reason_pb2.FINISH_REASON_TOOL_CALLS, outcome_pb2.OUTCOME_COMPLETE),
        (finish_reason_pb2.FINISH_REASON_LENGTH, outcome_pb2.OUTCOME_TRUNCATED),
        (finish_reason_pb2.FINISH_REASON_CONTENT_FILTER, outcome_pb2.OUTCOME_FILTERED),
    ],
)
def test_the_model_says_how_a_whole_answer_ended(reason: int, outcome: int) -> None:
    complete = leg(said("a"), ended(reason, usage=(7, 1)))
    complete.complete(200)
    assert complete.outcome == outcome
    assert used(complete) == (7, 1, 8, PROVIDER)


def test_the_record_says_who_what_when_and_how() -> None:
    complete = leg(said("a"), ended(usage=(7, 1)))
    complete.complete(250)
    request = completion_pb2.CompletionRequest(model="m", end_user_id="eu", labels={"team": "x"})
    record = complete.record("c", ACME, request, looked=True)
    assert (record.attempt_id, record.completion_id, record.caller) == ("c.1", "c", ACME)
    assert (record.provider, record.model, record.requested_model) == ("simulator", "sim-a", "m")
    assert (record.end_user_id, dict(record.labels)) == ("eu", {"team": "x"})
    assert record.cache_status == cache_status_pb2.CACHE_STATUS_MISS
    assert record.start_time.ToNanoseconds() == 100
    assert record.end_time.ToNanoseconds() == 250
    assert record.time_to_first_token.ToNanoseconds() == 50


def test_totals_are_estimated_when_any_part_is() -> None:
    total = total_usage([counted(1, 2), counted(10, 20)])
    assert (total.input_tokens, total.output_tokens, total.total_tokens, total.source) == (
        11,
        22,
        33,
        PROVIDER,
    )
    assert total_usage([counted(1, 2), counted(1, 2, whole=False)]).source == ESTIMATED


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ((0, 3), (30, 3, 33, ESTIMATED)),
        ((7, 0), (7, 3, 10, ESTIMATED)),
        ((0, 0), (30, 3, 33, ESTIMATED)),
        ((7, 2), (7, 2, 9, PROVIDER)),
    ],
)
def test_zero_is_no_count_of_a_prompt_or_of_what_was_said(
    usage: tuple[int, int], expected: tuple[int, int, int, int]
) -> None:
    complete = leg(said("a", "b", "c"), ended(usage=usage))
    complete.complete(200)
    assert used(complete) == expected


def test_an_answer_of_nothing_has_no_output() -> None:
    complete = leg(ended(usage=(7, 0)))
    complete.complete(200)
    assert used(complete) == (7, 0, 7, PROVIDER)
