"""With an internal token nobody else is let in."""

import pytest

from headgate.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from services._runtime.errors import Code
from tests.service.cache.calls import ask, refusal

TOKEN = "a token of the test, which is long enough"


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {"HEADGATE_INTERNAL_TOKEN": TOKEN}


def test_only_a_caller_with_the_token_is_served(grpc_stub: CacheServiceStub) -> None:
    assert refusal(grpc_stub.Lookup, ask(b"x")).reason == "MISSING_CREDENTIALS"
    wrong = refusal(grpc_stub.Lookup, ask(b"x"), metadata=[("authorization", "Bearer wrong")])
    assert wrong.code is Code.UNAUTHENTICATED
    found = grpc_stub.Lookup(ask(b"x"), metadata=(("authorization", f"Bearer {TOKEN}"),))
    assert len(found.key) == 32
