"""Exchange answers as the batches in it do, one request after another on one stream."""

from headgate.cache.v1 import cache_service_pb2 as pb
from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from headgate.common.v1.cache_status_pb2 import CACHE_STATUS_EXACT, CACHE_STATUS_MISS
from services._runtime.status import from_status
from tests.service.cache.calls import TIMEOUT_SECONDS, answer, ask


def exchange(stub: CacheServiceStub, *requests: pb.ExchangeRequest) -> list[pb.ExchangeResponse]:
    return list(stub.Exchange(iter(requests), timeout=TIMEOUT_SECONDS))


def test_lookups_are_answered_as_by_their_batch(grpc_stub: CacheServiceStub) -> None:
    grpc_stub.Store(answer(grpc_stub.Lookup(ask(b"known")).key))
    batch = pb.BatchLookupRequest(requests=[ask(b"known"), ask(b""), ask(b"unknown")])
    (exchanged,) = exchange(grpc_stub, pb.ExchangeRequest(lookup=batch))
    assert exchanged.lookup == grpc_stub.BatchLookup(batch)
    known, broken, unknown = exchanged.lookup.results
    assert (known.response.status, known.response.entry.value) == (CACHE_STATUS_EXACT, b"because")
    assert from_status(broken.error).reason == "INVALID_FIELD"
    assert unknown.response.status == CACHE_STATUS_MISS
    assert not exchanged.HasField("store")


def test_stores_are_answered_as_by_their_batch(grpc_stub: CacheServiceStub) -> None:
    key = grpc_stub.Lookup(ask(b"stored")).key
    batch = pb.BatchStoreRequest(requests=[answer(key), answer(b"no key"), answer(b"f" * 32)])
    (exchanged,) = exchange(grpc_stub, pb.ExchangeRequest(store=batch))
    assert exchanged.store == grpc_stub.BatchStore(batch)
    kinds = [result.WhichOneof("result") for result in exchanged.store.results]
    assert kinds == ["response", "error", "response"]
    assert not exchanged.HasField("lookup")


def test_what_a_request_stores_is_found_by_it_and_by_the_next(grpc_stub: CacheServiceStub) -> None:
    asking = pb.BatchLookupRequest(requests=[ask(b"in turn")])
    key = grpc_stub.Lookup(ask(b"in turn")).key
    storing = pb.BatchStoreRequest(requests=[answer(key)])
    answers = exchange(
        grpc_stub,
        pb.ExchangeRequest(lookup=asking),
        pb.ExchangeRequest(store=storing, lookup=asking),
        pb.ExchangeRequest(lookup=asking),
    )
    found = [each.lookup.results[0].response.status for each in answers]
    assert found == [CACHE_STATUS_MISS, CACHE_STATUS_EXACT, CACHE_STATUS_EXACT]
