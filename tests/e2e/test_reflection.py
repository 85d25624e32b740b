"""Reflection is enough: without a .proto file, grpcurl and `buf curl` list, describe and call every RPC."""

import json
from collections.abc import Callable
from string import Template
from typing import Any, TypeAlias

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from scripts import contracts
from tests.support.readme import not_yet
from tests.support.reflecting_clients import BufCurl, Grpcurl, ReflectingClient, call, call_for_one_message
from tests.support.rpc_calls import CALLS
from tests.support.suite import RunningSuite

CLIENTS: dict[str, Callable[[], ReflectingClient]] = {
    "grpcurl": Grpcurl,
    "buf v1": lambda: BufCurl("grpc-v1"),
    "buf v1alpha": lambda: BufCurl("grpc-v1alpha"),
}
Type: TypeAlias = Descriptor | EnumDescriptor
ContractTypes: TypeAlias = Callable[[set[str]], list[Type]]
# The first test starts the suite, on a machine that others use too.
pytestmark = [pytest.mark.timeout(300), pytest.mark.parametrize("process", list(CALLS))]


@pytest.fixture(scope="module")
def contract_types(tmp_path_factory: pytest.TempPathFactory) -> ContractTypes:
    """What services of these names in protos/ take and give, and what that consists of; well-known types aside."""
    contracts.compile_image(image := tmp_path_factory.mktemp("contracts") / "image.binpb")
    pool, services = DescriptorPool(), dict[str, list[Descriptor]]()
    for file in FileDescriptorSet.FromString(image.read_bytes()).file:
        for service in pool.AddSerializedFile(file.SerializeToString()).services_by_name.values():
            services[service.full_name] = [
                message for method in service.methods for message in (method.input_type, method.output_type)
            ]
    return lambda names: _reached([message for name in names for message in services.get(name, [])])


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> ReflectingClient:
    return CLIENTS[request.param]()


def test_every_service_and_every_method_is_listed_and_called_below(
    process: str, client: ReflectingClient, suite: RunningSuite
) -> None:
    address = suite.addresses.grpc[process]
    called = {call.method for call in CALLS[process]}
    assert client.services(address) == {method.partition("/")[0] for method in called}
    assert client.methods(address) == called


@pytest.mark.parametrize("client", ["grpcurl", "buf v1"], indirect=True)
def test_every_rpc_answers_or_says_that_it_is_not_implemented(
    process: str, client: ReflectingClient, suite: RunningSuite
) -> None:
    address = suite.addresses.grpc[process]
    token = suite.api_key if process == "router" else suite.internal_token
    known = {"unique": client.name}
    for each in CALLS[process]:
        once = call_for_one_message if each.never_ends else call
        answer = once(
            client, address, each.method, Template(json.dumps(each.request)).substitute(known), token
        )
        expected = ("UNIMPLEMENTED", "NOT_IMPLEMENTED") if each.method in not_yet() else ("OK", "")
        assert (each.method, answer.code, answer.reason) == (each.method, *expected), answer.told
        assert answer.messages or answer.code != "OK", each.method
        known |= {name: _at(answer.messages[0], path) for name, path in each.keep.items()}


def test_grpcurl_describes_every_service_with_its_methods(process: str, suite: RunningSuite) -> None:
    described = Grpcurl().run(suite.addresses.grpc[process], "describe")
    for each in CALLS[process]:
        service, _, method = each.method.partition("/")
        assert f"{service} is a service:" in described
        assert f"rpc {method} (" in described


def test_grpcurl_describes_every_message_and_enum_as_the_contracts_have_them(
    process: str, suite: RunningSuite, contract_types: ContractTypes
) -> None:
    grpcurl, address = Grpcurl(), suite.addresses.grpc[process]
    types = contract_types({call.method.partition("/")[0] for call in CALLS[process]})
    assert len(types) > 10
    for each in types:
        described = grpcurl.run(address, "describe", each.full_name)
        members = each.fields if isinstance(each, Descriptor) else each.values
        assert [member.name for member in members if f" {member.name} = " not in described] == []


def _at(answer: Any, path: str) -> str:
    for step in path.split("."):
        answer = answer[int(step)] if step.isdigit() else answer[step]
    return str(answer)


def _reached(messages: list[Descriptor]) -> list[Type]:
    found, waiting = dict[str, Type](), list[Type](messages)
    while waiting:
        each = waiting.pop()
        if each.full_name in found or each.full_name.startswith("google.") or _is_map_entry(each):
            continue
        found[each.full_name] = each
        fields = each.fields if isinstance(each, Descriptor) else []
        waiting += [part for field in fields if (part := field.message_type or field.enum_type)]
    return [found[name] for name in sorted(found)]


def _is_map_entry(each: Type) -> bool:
    return isinstance(each, Descriptor) and each.GetOptions().map_entry
