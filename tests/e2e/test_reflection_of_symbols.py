"""Reflection finds whatever a client may name: each symbol and each extension of each file, under both names of the protocol."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from grpc_reflection.v1alpha import reflection_pb2 as pb

from tests.support.rpc_calls import CALLS
from tests.support.suite import RunningSuite

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.parametrize("process", list(CALLS)),
    pytest.mark.parametrize("version", ["v1", "v1alpha"]),
]


class Reflection:
    """One stream of questions after another."""

    def __init__(self, channel: grpc.Channel, version: str) -> None:
        self._info = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=pb.ServerReflectionRequest.SerializeToString,
            response_deserializer=pb.ServerReflectionResponse.FromString,
        )

    def ask(self, questions: Iterable[pb.ServerReflectionRequest]) -> list[pb.ServerReflectionResponse]:
        """One answer for each, in order."""
        return list(self._info(iter(questions), timeout=60))

    def services(self) -> list[str]:
        (answer,) = self.ask([pb.ServerReflectionRequest(list_services="")])
        return [service.name for service in answer.list_services_response.service]

    def files(self) -> dict[str, FileDescriptorProto]:
        """All that its services are made of, by name."""
        answers = self.ask(symbol(name) for name in self.services())
        texts = [text for each in answers for text in each.file_descriptor_response.file_descriptor_proto]
        return {file.name: file for file in map(FileDescriptorProto.FromString, texts)}


@pytest.fixture
def reflection(suite: RunningSuite, process: str, version: str) -> Iterator[Reflection]:
    with grpc.insecure_channel(suite.addresses.grpc[process]) as channel:
        yield Reflection(channel, version)


def symbol(name: str) -> pb.ServerReflectionRequest:
    return pb.ServerReflectionRequest(file_containing_symbol=name)


def symbols(file: FileDescriptorProto) -> Iterator[str]:
    """Full names of all that the file defines."""
    yield from _in_scope(file.package, file.message_type, file.enum_type, file.extension)
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)


def _in_scope(
    scope: str,
    messages: Sequence[DescriptorProto],
    enums: Sequence[EnumDescriptorProto],
    extensions: Sequence[FieldDescriptorProto],
) -> Iterator[str]:
    yield from (f"{scope}.{extension.name}" for extension in extensions)
    for enum in enums:
        yield f"{scope}.{enum.name}"
        for value in enum.value:
            # In protobuf a value stands beside its enum; people write it behind the enum, too.
            yield from (f"{scope}.{value.name}", f"{scope}.{enum.name}.{value.name}")
    for message in messages:
        name = f"{scope}.{message.name}"
        yield name
        yield from (f"{name}.{field.name}" for field in message.field)
        yield from (f"{name}.{oneof.name}" for oneof in message.oneof_decl)
        yield from _in_scope(name, message.nested_type, message.enum_type, message.extension)


def extensions(file: FileDescriptorProto) -> Iterator[tuple[str, int]]:
    """What is extended, and the number."""
    declared, scopes = list(file.extension), list(file.message_type)
    while scopes:
        scope = scopes.pop()
        declared += scope.extension
        scopes += scope.nested_type
    yield from ((each.extendee.lstrip("."), each.number) for each in declared)


def defines(answer: pb.ServerReflectionResponse) -> set[str]:
    texts = answer.file_descriptor_response.file_descriptor_proto
    return {name for text in texts for name in symbols(FileDescriptorProto.FromString(text))}


def test_every_symbol_of_every_file_is_found(reflection: Reflection) -> None:
    names = [name for file in reflection.files().values() for name in symbols(file)]
    assert len(names) > 300
    answers = reflection.ask(map(symbol, names))
    missing = [
        name
        for name, answer in zip(names, answers, strict=True)
        if not answer.HasField("file_descriptor_response")
    ]
    assert missing == []


def test_a_method_leads_to_the_file_of_its_service(reflection: Reflection, process: str) -> None:
    service, _, method = CALLS[process][0].method.partition("/")
    (answer,) = reflection.ask([symbol(f"{service}.{method}")])
    assert f"{service}.{method}" in defines(answer)


def test_every_extension_is_found_by_what_it_extends_and_listed_there(reflection: Reflection) -> None:
    declared = [each for file in reflection.files().values() for each in extensions(file)]
    assert {"google.protobuf.FieldOptions"} <= {extended for extended, _ in declared}
    found = reflection.ask(
        pb.ServerReflectionRequest(
            file_containing_extension=pb.ExtensionRequest(containing_type=extended, extension_number=number)
        )
        for extended, number in declared
    )
    assert all(answer.HasField("file_descriptor_response") for answer in found)
    options = descriptor_pb2.FieldOptions.DESCRIPTOR.full_name
    (listed,) = reflection.ask([pb.ServerReflectionRequest(all_extension_numbers_of_type=options)])
    numbers = set(listed.all_extension_numbers_response.extension_number)
    assert {number for extended, number in declared if extended == options} <= numbers


@pytest.mark.parametrize(
    "asked",
    [
        {"file_containing_symbol": "headgate.router.v1.RouterService.NoSuchMethod"},
        {"file_containing_symbol": "headgate.nothing"},
        {"file_containing_symbol": "nothing"},
        {"file_containing_symbol": ""},
        {"file_by_filename": "nothing.proto"},
        {"all_extension_numbers_of_type": "headgate.nothing"},
        {"file_containing_extension": {"containing_type": "headgate.nothing", "extension_number": 1}},
        {
            "file_containing_extension": {
                "containing_type": "google.protobuf.Timestamp",
                "extension_number": 1,
            }
        },
    ],
    ids=str,
)
def test_what_there_is_not_is_an_answer_and_the_stream_goes_on(
    reflection: Reflection, asked: dict[str, Any]
) -> None:
    refused, listed = reflection.ask(
        [pb.ServerReflectionRequest(**asked), pb.ServerReflectionRequest(list_services="")]
    )
    assert refused.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert listed.list_services_response.service
