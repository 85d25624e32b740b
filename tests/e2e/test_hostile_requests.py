"""Eight megabytes of the smallest items in any field of any RPC are refused, and leave nothing behind."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from bench.smallest_items import Bomb, bombs
from envoy.service.ratelimit.v3 import rls_pb2
from headgate.billing.v1 import account_service_pb2, billing_service_pb2
from headgate.cache.v1 import cache_service_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2
from headgate.router.v1 import completion_pb2, job_service_pb2, router_service_pb2, router_service_pb2_grpc
from services._runtime.rpc.wire import MOST_FIELDS
from tests.support.procfs import resident_bytes
from tests.support.rpc_errors import refused
from tests.support.suite import RunningSuite

pytestmark = pytest.mark.timeout(600)
SIZE = 8 * 1024 * 1024
MOST_GROWTH_BYTES = 64 * 1024 * 1024
FILES = {
    "router": (router_service_pb2, job_service_pb2),
    "cache": (cache_service_pb2,),
    "ratelimit": (ratelimit_service_pb2, rls_pb2),
    "billing": (billing_service_pb2, account_service_pb2),
}
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    with RunningSuite.running(tmp_path_factory.mktemp("attacked")) as running:
        yield running


def is_batch(bomb: Bomb) -> bool:
    return bomb.method.rpartition("/")[2].startswith(("Batch", "RecordUsage"))


def all_bombs(process: str) -> Iterator[Bomb]:
    for file in FILES[process]:
        for service in file.DESCRIPTOR.services_by_name.values():
            yield from bombs(service, SIZE)


def send(channel: grpc.Channel, bomb: Bomb, token: str) -> grpc.StatusCode:
    call: Any = channel.unary_stream(bomb.method)  # whatever comes back: its bytes
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    try:
        list(call(bomb.raw, metadata=metadata, timeout=60))
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("process", list(FILES))
def test_they_are_refused_and_the_process_does_not_grow(attacked: RunningSuite, process: str) -> None:
    pid, address = attacked.pid(process), attacked.addresses.grpc[process]
    token = attacked.api_key if process == "router" else attacked.internal_token
    before, taken, count = resident_bytes(pid), [], 0
    with grpc.insecure_channel(address, [("grpc.max_send_message_length", 2 * SIZE)]) as channel:
        for bomb in all_bombs(process):
            count += 1
            code = send(channel, bomb, token)
            # A batch is answered, and each of its items refused.
            if code not in REFUSALS and not is_batch(bomb):
                taken.append((bomb.method, bomb.field, code.name))
    assert count > 10
    assert taken == []
    assert resident_bytes(pid) - before < MOST_GROWTH_BYTES


@pytest.mark.parametrize("process", list(FILES))
def test_without_a_key_nothing_of_them_is_read(attacked: RunningSuite, process: str) -> None:
    pid, address = attacked.pid(process), attacked.addresses.grpc[process]
    before = resident_bytes(pid)
    with grpc.insecure_channel(address, [("grpc.max_send_message_length", 2 * SIZE)]) as channel:
        codes = {send(channel, bomb, "") for bomb in all_bombs(process)}
    assert codes == {grpc.StatusCode.UNAUTHENTICATED}
    assert resident_bytes(pid) - before < MOST_GROWTH_BYTES / 2


def test_the_refusal_names_the_field_and_the_remedy(attacked: RunningSuite) -> None:
    request = completion_pb2.CompletionRequest(model="fast")
    for _ in range(100):
        message = request.messages.add(role="ROLE_USER")
        for _ in range(200):
            message.parts.add(text="x")
    metadata = (("authorization", f"Bearer {attacked.api_key}"),)
    with grpc.insecure_channel(attacked.addresses.grpc["router"]) as channel, refused() as refusal:
        router_service_pb2_grpc.RouterServiceStub(channel).Complete(request, metadata=metadata)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert f"more than {MOST_FIELDS} fields in all" in refusal.message
    assert refusal.fields == ("messages.parts",)


def test_a_compressed_request_is_refused_before_it_is_expanded(attacked: RunningSuite) -> None:
    pid = attacked.pid("router")
    before = resident_bytes(pid)
    request = completion_pb2.CompletionRequest(model="fast", prompt="x" * 19_000_000)
    metadata = (("authorization", f"Bearer {attacked.api_key}"),)
    options = [("grpc.max_send_message_length", 64 * 1024 * 1024)]
    with grpc.insecure_channel(attacked.addresses.grpc["router"], options) as channel:
        router = router_service_pb2_grpc.RouterServiceStub(channel)
        for _ in range(10):
            with pytest.raises(grpc.RpcError) as raised:
                router.Complete(request, metadata=metadata, compression=grpc.Compression.Gzip)
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert resident_bytes(pid) - before < MOST_GROWTH_BYTES / 2
