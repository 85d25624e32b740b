"""Server reflection under both its names, v1 and v1alpha: the messages are the same on the wire."""

from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"


def add_reflection(server: grpc.aio.Server, service_names: Sequence[str]) -> None:
    """Describe the services, and all that their files import, options and their extensions included."""
    names = [*service_names, V1, V1ALPHA]
    servicer = ReflectionServicer(names, pool=_Symbols(names))
    add_ServerReflectionServicer_to_server(servicer, server)
    handlers = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, handlers),))


class _Symbols:
    """A descriptor pool that also finds methods, and the values of an enum by its name, as the protocol asks.

    The library's servicer asks it for the file of a symbol, and Python's pool does not know these two kinds. It is made at
    the first question: most processes are never asked one.
    """

    def __init__(self, service_names: Sequence[str]) -> None:
        self._service_names = service_names

    @cached_property
    def _pool(self) -> descriptor_pool.DescriptorPool:
        _define_v1(descriptor_pool.Default())
        return _described(self._service_names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - the pool's name
        """:raises KeyError: there is no such symbol."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            owner, _, member = symbol.rpartition(".")
            file = self._pool.FindFileContainingSymbol(owner)
            if not any(member in members for members in self._members(owner)):
                raise
            return file

    def _members(self, owner: str) -> Iterator[Container[str]]:
        with suppress(KeyError):
            yield self._pool.FindServiceByName(owner).methods_by_name
        with suppress(KeyError):
            yield self._pool.FindEnumTypeByName(owner).values_by_name


def _described(service_names: Sequence[str]) -> descriptor_pool.DescriptorPool:
    """The services' files with the JSON name of each field, which Python's generator leaves out.

    Without those a client such as grpcurl would neither take nor print the standard JSON form (`maxOutputTokens`).
    """
    source, described = descriptor_pool.Default(), descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        for message in proto.message_type:
            _name_json(message)
        described.AddSerializedFile(proto.SerializeToString())

    for name in service_names:
        add(source.FindFileContainingSymbol(name))
    # Errors carry its messages as Any: a client can print only what it can look up.
    add(error_details_pb2.DESCRIPTOR)
    return described


def _name_json(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        if not field.HasField("json_name"):
            head, *tail = field.name.split("_")
            field.json_name = head + "".join(word[:1].upper() + word[1:] for word in tail)
    for nested in message.nested_type:
        _name_json(nested)


def _define_v1(pool: descriptor_pool.DescriptorPool) -> None:
    """The v1 file, made of v1alpha's: a client that lists the v1 service can then describe it too."""
    name = "grpc/reflection/v1/reflection.proto"
    try:
        pool.FindFileByName(name)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        pool.AddSerializedFile(_renamed(file).SerializeToString())


def _renamed(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    file.name, file.package = "grpc/reflection/v1/reflection.proto", "grpc.reflection.v1"
    for message in file.message_type:
        for field in message.field:
            # A scalar has no type name, and even an empty one would make it malformed.
            if field.HasField("type_name"):
                field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
        method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    return file
