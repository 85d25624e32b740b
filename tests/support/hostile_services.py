"""A gRPC server in the place of all services, whose every answer or refusal is full of hostile text."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from headgate.billing.v1 import account_service_pb2, billing_service_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2
from headgate.router.v1 import completion_pb2, router_service_pb2
from tests.support.hostile_text import HOSTILE, alternatives, fill

_MODULES = (router_service_pb2, ratelimit_service_pb2, billing_service_pb2, account_service_pb2)

Answer = Callable[[MethodDescriptor, Any, grpc.ServicerContext], Iterator[Any]]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Its address."""
    server = grpc.server(ThreadPoolExecutor(2))
    services = [service for module in _MODULES for service in module.DESCRIPTOR.services_by_name.values()]
    server.add_generic_rpc_handlers([_handlers(service, answer) for service in services])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def answering(method: MethodDescriptor, request: Any, _context: grpc.ServicerContext) -> Iterator[Any]:
    """Lists have two pages. A stream has every kind of event, and text that comes in single characters."""
    for turn in range(_turns(method.output_type) if method.server_streaming else 1):
        response = fill(_new(method), turn)
        if getattr(request, "page_token", ""):
            response.next_page_token = ""
        yield response
    if method.output_type is completion_pb2.CompletionEvent.DESCRIPTOR:
        yield from _in_single_characters()


def refusing(code: grpc.StatusCode) -> Answer:
    """Streams break off after some text."""

    def refuse(method: MethodDescriptor, _request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        if method.output_type is completion_pb2.CompletionEvent.DESCRIPTOR:
            yield from _in_single_characters()
        context.abort_with_status(rpc_status.to_status(_refusal(code)))

    return refuse


def _handlers(service: ServiceDescriptor, answer: Answer) -> grpc.GenericRpcHandler:
    methods = {
        method.name: _handler(method, answer) for method in service.methods if not method.client_streaming
    }
    return grpc.method_handlers_generic_handler(service.full_name, methods)


def _handler(method: MethodDescriptor, answer: Answer) -> "grpc.RpcMethodHandler[Any, Any]":
    def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        return answer(method, request, context)

    def unary(request: Any, context: grpc.ServicerContext) -> Any:
        return next(answer(method, request, context))

    read = message_factory.GetMessageClass(method.input_type).FromString
    write = message_factory.GetMessageClass(method.output_type).SerializeToString
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(stream, read, write)
    return grpc.unary_unary_rpc_method_handler(unary, read, write)


def _new(method: MethodDescriptor) -> Any:
    return message_factory.GetMessageClass(method.output_type)()


def _turns(event: Any) -> int:
    """So many that every alternative of every alternative has its turn."""
    inner = (alternatives(field.message_type) for field in event.fields if field.message_type)
    return alternatives(event) * max(inner, default=1)


def _in_single_characters() -> Iterator[Any]:
    for character in HOSTILE:
        yield completion_pb2.CompletionEvent(delta=completion_pb2.Delta(text=character))


def _refusal(code: grpc.StatusCode) -> status_pb2.Status:
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=f"{HOSTILE} refused")
    for detail in (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.QuotaFailure(),
        error_details_pb2.RetryInfo(),
    ):
        status.details.add().Pack(fill(detail))
    return status
