"""headgate.cache.v1.CacheService with the memory store, called over gRPC."""

import time

import pytest
from google.protobuf.duration_pb2 import Duration
from prometheus_client import generate_latest

from headgate.cache.v1 import cache_service_pb2 as pb
from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from headgate.common.v1.cache_status_pb2 import CACHE_STATUS_EXACT, CACHE_STATUS_MISS
from headgate.common.v1.usage_pb2 import USAGE_SOURCE_PROVIDER, TokenUsage
from services._runtime.errors import Code
from services._runtime.status import from_status
from services._runtime.telemetry.telemetry import Telemetry
from tests.service.cache.calls import answer, ask, fields, refusal

USAGE = TokenUsage(input_tokens=10, output_tokens=5, cache_read_input_tokens=9, source=USAGE_SOURCE_PROVIDER)


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {"HEADGATE_CACHE_MAX_ENTRY_BYTES": "1000", "HEADGATE_CACHE_DEFAULT_TTL_SECONDS": "60"}


def test_an_answer_is_found_again_with_its_usage_cost_and_times(grpc_stub: CacheServiceStub) -> None:
    missed = grpc_stub.Lookup(ask(b"found again"))
    assert (missed.status, len(missed.key), missed.HasField("entry")) == (CACHE_STATUS_MISS, 32, False)
    before = time.time_ns()
    assert grpc_stub.Store(answer(missed.key, b"because", usage=USAGE, cost_nanos=77)).stored
    after = time.time_ns()
    found = grpc_stub.Lookup(ask(b"found again"))
    assert (found.status, found.key, found.HasField("similarity")) == (CACHE_STATUS_EXACT, missed.key, False)
    assert (found.entry.value, found.entry.cost_nanos) == (b"because", 77)
    assert found.entry.usage == TokenUsage(
        input_tokens=10,
        output_tokens=5,
        total_tokens=15,
        cache_read_input_tokens=9,
        source=USAGE_SOURCE_PROVIDER,
    )
    created = found.entry.create_time.ToNanoseconds()
    assert before <= created <= after
    assert found.entry.expire_time.ToNanoseconds() - created == 60 * 10**9


def test_scopes_models_and_contents_have_entries_of_their_own(grpc_stub: CacheServiceStub) -> None:
    scopes = (pb.CACHE_SCOPE_KEY, pb.CACHE_SCOPE_USER, pb.CACHE_SCOPE_ORGANIZATION)
    questions = [ask(b"scopes", scope=scope) for scope in scopes]
    questions += [ask(b"scopes", model="other"), ask(b"scopes "), ask(b"scopes", user="bob")]
    keys = [grpc_stub.Lookup(question).key for question in questions]
    assert len(set(keys)) == len(keys)
    assert grpc_stub.Lookup(ask(b"scopes")).key == keys[1]


def test_max_age_and_ttl_are_honoured(grpc_stub: CacheServiceStub) -> None:
    key = grpc_stub.Lookup(ask(b"aged")).key
    grpc_stub.Store(answer(key, ttl=Duration(seconds=5)))
    found = grpc_stub.Lookup(ask(b"aged", max_age=Duration(seconds=60)))
    lives = found.entry.expire_time.ToNanoseconds() - found.entry.create_time.ToNanoseconds()
    assert (found.status, lives) == (CACHE_STATUS_EXACT, 5 * 10**9)
    assert grpc_stub.Lookup(ask(b"aged", max_age=Duration(nanos=0))).status == CACHE_STATUS_MISS


def test_an_answer_that_is_too_large_is_not_kept(grpc_stub: CacheServiceStub) -> None:
    key = grpc_stub.Lookup(ask(b"large")).key
    assert not grpc_stub.Store(answer(key, b"x" * 1001)).stored
    assert grpc_stub.Lookup(ask(b"large")).status == CACHE_STATUS_MISS
    assert grpc_stub.Store(answer(key, b"x" * 1000)).stored


def test_another_organisation_can_do_nothing_with_a_key_that_leaked(grpc_stub: CacheServiceStub) -> None:
    key = grpc_stub.Lookup(ask(b"leaked")).key
    grpc_stub.Store(answer(key, b"mine"))
    grpc_stub.Store(answer(key, b"poison", organization="thief"))
    grpc_stub.Invalidate(pb.InvalidateRequest(organization_id="thief", key=key))
    grpc_stub.Invalidate(pb.InvalidateRequest(organization_id="thief", all=True))
    assert grpc_stub.Lookup(ask(b"leaked")).entry.value == b"mine"


def test_entries_are_invalidated_by_key_by_tag_and_all_together(grpc_stub: CacheServiceStub) -> None:
    def status(content: bytes) -> int:
        return grpc_stub.Lookup(ask(content, organization="inv")).status

    keys = [grpc_stub.Lookup(ask(content, organization="inv")).key for content in (b"1", b"2", b"3")]
    for key, tags in zip(keys, (["a"], ["a", "b"], []), strict=True):
        grpc_stub.Store(answer(key, organization="inv", tags=tags))
    grpc_stub.Invalidate(pb.InvalidateRequest(organization_id="inv", key=keys[0]))
    assert [status(b"1"), status(b"2"), status(b"3")] == [
        CACHE_STATUS_MISS,
        CACHE_STATUS_EXACT,
        CACHE_STATUS_EXACT,
    ]
    grpc_stub.Invalidate(pb.InvalidateRequest(organization_id="inv", tag="b"))
    assert [status(b"2"), status(b"3")] == [CACHE_STATUS_MISS, CACHE_STATUS_EXACT]
    grpc_stub.Invalidate(pb.InvalidateRequest(organization_id="inv", all=True))
    assert status(b"3") == CACHE_STATUS_MISS


def test_a_batch_answers_each_item_in_order(grpc_stub: CacheServiceStub) -> None:
    questions = [ask(f"batch {number}".encode(), organization=f"org-{number % 2}") for number in range(6)]
    missed = grpc_stub.BatchLookup(pb.BatchLookupRequest(requests=questions)).results
    answers = [
        answer(missed[number].response.key, f"{number}".encode(), organization=f"org-{number % 2}")
        for number in range(5)
    ]
    answers.append(answer(missed[5].response.key, b"x" * 2000, organization="org-1"))
    stored = grpc_stub.BatchStore(pb.BatchStoreRequest(requests=answers)).results
    assert [result.response.stored for result in stored] == [True] * 5 + [False]
    found = grpc_stub.BatchLookup(pb.BatchLookupRequest(requests=reversed(questions))).results
    assert [result.response.entry.value for result in found] == [b"", b"4", b"3", b"2", b"1", b"0"]
    assert found[0].response.status == CACHE_STATUS_MISS


def test_a_bad_item_of_a_batch_gets_its_error_and_the_others_their_answers(
    grpc_stub: CacheServiceStub,
) -> None:
    lookups = [
        ask(b""),
        ask(b"good"),
        ask(b"semantic", semantic=pb.SemanticQuery(text="why?")),
        ask(b"x", organization=""),
    ]
    results = grpc_stub.BatchLookup(pb.BatchLookupRequest(requests=lookups)).results
    assert [result.WhichOneof("result") for result in results] == ["error", "response", "error", "error"]
    errors = [from_status(result.error) for result in results]
    assert [error.reason for error in errors if error.domain] == [
        "INVALID_FIELD",
        "NOT_IMPLEMENTED",
        "INVALID_FIELD",
    ]
    assert (errors[0].domain, fields(errors[0]), fields(errors[3])) == (
        "cache.headgate",
        ["content"],
        ["caller.organization_id"],
    )
    stores = [answer(b"short"), answer(results[1].response.key), answer(bytes(32), cost_nanos=-1)]
    kept = grpc_stub.BatchStore(pb.BatchStoreRequest(requests=stores)).results
    assert [result.WhichOneof("result") for result in kept] == ["error", "response", "error"]
    assert [fields(from_status(kept[place].error)) for place in (0, 2)] == [["key"], ["cost_nanos"]]


@pytest.mark.parametrize("count", [0, 257])
def test_a_batch_of_no_items_or_too_many_is_refused_whole(grpc_stub: CacheServiceStub, count: int) -> None:
    error = refusal(grpc_stub.BatchLookup, pb.BatchLookupRequest(requests=[ask(b"x")] * count))
    assert (error.code, fields(error)) == (Code.INVALID_ARGUMENT, ["requests"])
    error = refusal(grpc_stub.BatchStore, pb.BatchStoreRequest(requests=[answer(b"")] * count))
    assert (error.code, fields(error)[0]) == (Code.INVALID_ARGUMENT, "requests")


BAD_LOOKUPS = {
    "no caller": (pb.LookupRequest(model="m", content=b"x"), ["caller"]),
    "no organisation": (ask(b"x", organization=""), ["caller.organization_id"]),
    "no model": (ask(b"x", model=""), ["model"]),
    "no content": (ask(b""), ["content"]),
    "an unknown scope": (ask(b"x", scope=99), ["scope"]),
    "a negative age": (ask(b"x", max_age=Duration(seconds=-1)), ["max_age"]),
    "a similarity above 1": (
        ask(b"x", semantic=pb.SemanticQuery(text="t", min_similarity=2)),
        ["semantic.min_similarity"],
    ),
}


@pytest.mark.parametrize("case", BAD_LOOKUPS)
def test_a_bad_lookup_is_refused_by_the_name_of_its_field(grpc_stub: CacheServiceStub, case: str) -> None:
    request, expected = BAD_LOOKUPS[case]
    error = refusal(grpc_stub.Lookup, request)
    assert (error.code, error.reason, error.domain) == (
        Code.INVALID_ARGUMENT,
        "INVALID_FIELD",
        "cache.headgate",
    )
    assert fields(error) == expected


BAD_STORES = {
    "a short key": (answer(b"short"), ["key"]),
    "no value": (answer(bytes(32), b""), ["value"]),
    "no time to live": (answer(bytes(32), ttl=Duration(nanos=1)), ["ttl"]),
    "more than a year": (answer(bytes(32), ttl=Duration(seconds=31622401)), ["ttl"]),
    "a tag twice": (answer(bytes(32), tags=["a", "a"]), ["tags"]),
    "an empty tag": (answer(bytes(32), tags=["a", ""]), ["tags[1]"]),
    "a negative cost": (answer(bytes(32), cost_nanos=-1), ["cost_nanos"]),
    "negative tokens": (answer(bytes(32), usage=TokenUsage(output_tokens=-1)), ["usage.output_tokens"]),
}


@pytest.mark.parametrize("case", BAD_STORES)
def test_a_bad_store_is_refused_by_the_name_of_its_field(grpc_stub: CacheServiceStub, case: str) -> None:
    request, expected = BAD_STORES[case]
    error = refusal(grpc_stub.Store, request)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert set(expected) <= set(fields(error))


def test_an_invalidation_of_nothing_is_refused(grpc_stub: CacheServiceStub) -> None:
    assert (
        refusal(grpc_stub.Invalidate, pb.InvalidateRequest(organization_id="org")).code
        is Code.INVALID_ARGUMENT
    )
    error = refusal(grpc_stub.Invalidate, pb.InvalidateRequest(tag="t"))
    assert fields(error) == ["organization_id"]


def test_what_is_not_in_this_version_says_so_and_must_not_be_retried(grpc_stub: CacheServiceStub) -> None:
    fill = pb.AcquireFillRequest(key=bytes(32), ttl=Duration(seconds=1))
    errors = [
        refusal(grpc_stub.AcquireFill, fill),
        refusal(grpc_stub.ReleaseFill, pb.ReleaseFillRequest(key=bytes(32), fill_token="t")),
        refusal(grpc_stub.Lookup, ask(b"x", semantic=pb.SemanticQuery(text="why?"))),
    ]
    assert {(error.code, error.reason, error.retryable) for error in errors} == {
        (Code.UNIMPLEMENTED, "NOT_IMPLEMENTED", False)
    }


def test_the_stats_of_an_organisation_add_up(grpc_stub: CacheServiceStub) -> None:
    key = grpc_stub.Lookup(ask(b"stats", organization="counted")).key
    largest = 2**63 - 1
    grpc_stub.Store(answer(key, organization="counted", usage=USAGE, cost_nanos=largest))
    for _ in range(2):
        grpc_stub.Lookup(ask(b"stats", organization="counted"))
    stats = grpc_stub.GetStats(pb.GetStatsRequest(organization_id="counted"))
    assert (stats.exact_hits, stats.semantic_hits, stats.misses, stats.stores) == (2, 0, 1, 1)
    assert (stats.saved_tokens, stats.saved_cost_nanos) == (30, largest)
    assert (stats.entries, stats.evictions) == (1, 0)
    total = grpc_stub.GetStats(pb.GetStatsRequest())
    assert total.entries >= 1
    assert total.bytes >= stats.bytes > len(b"because")
    unknown = grpc_stub.GetStats(pb.GetStatsRequest(organization_id="never seen"))
    assert (unknown.exact_hits, unknown.HasField("entries"), unknown.entries) == (0, True, 0)


def test_metrics_tell_what_happened(grpc_stub: CacheServiceStub, telemetry: Telemetry) -> None:
    grpc_stub.BatchLookup(pb.BatchLookupRequest(requests=[ask(b"metrics")] * 3))
    total = grpc_stub.GetStats(pb.GetStatsRequest())

    def sample(name: str, **labels: str) -> float:
        value = telemetry.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value

    lookups = {
        result: sample("headgate_cache_lookups_total", result=result)
        for result in ("exact", "semantic", "miss")
    }
    assert lookups == {"exact": total.exact_hits, "semantic": 0, "miss": total.misses}
    assert sample("llm_cache_hit_rate") == total.exact_hits / (total.exact_hits + total.misses)
    assert sample("headgate_cache_entries") == total.entries
    assert sample("headgate_cache_bytes") == total.bytes
    assert sample("headgate_cache_evictions_total") == total.evictions
    two, four, all_sizes = (
        sample("headgate_cache_batch_size_bucket", operation="lookup", le=bound)
        for bound in ("2", "4", "+Inf")
    )
    assert 0 < two < four <= all_sizes == sample("headgate_cache_batch_size_count", operation="lookup")
    assert b"llm_cache_hit_rate " in generate_latest(telemetry.registry)
