"""The server's one interceptor: wraps each method once, so that a call pays only for what it uses."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc

from services._runtime.errors import GatewayError
from services._runtime.rpc.boundary import Boundary, Call, metadata_of
from services._runtime.rpc.validation import decode, encode, validate
from services._runtime.telemetry.propagation import said_of, tell_batches

_PUBLIC_PREFIXES = ("/grpc.health.", "/grpc.reflection.", "/grpc.channelz.")


class GatewayInterceptor(grpc.aio.ServerInterceptor):
    """Request id, deadline, authentication, validation, metrics, tracing and the error table, around each method.

    Health, reflection and channelz pass untouched. `trusted_methods` (`/package.Service/Method`) are called by peers
    that send what the contract allows and know their request id: they are neither validated nor, unless the
    servicer adds trailing metadata, answered with any. One that streams both ways is an exchange: its servicer answers one
    request at a time, each a call of its own to metrics, traces and logs. Validation is of single requests; the messages
    of any other request stream are the servicer's to judge.
    """

    def __init__(
        self,
        boundary: Boundary,
        trusted_methods: frozenset[str] = frozenset(),
        *,
        max_message_bytes: int = 20 * 1024 * 1024,
    ) -> None:
        self._boundary = boundary
        self._trusted_methods = trusted_methods
        self._max_message_bytes = max_message_bytes
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        name = handler_call_details.method
        wrapped = self._wrapped.get(name)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        # An unknown method is not remembered: a caller could make up names for ever.
        if handler is None or name.startswith(_PUBLIC_PREFIXES):
            return handler
        wrapped = self._wrapped[name] = self._wrap(name, handler)
        return wrapped

    def _wrap(self, name: str, handler: Any) -> Any:
        method = self._boundary.method(name, trusted=name in self._trusted_methods)
        request = self._reader(name, handler)
        if handler.stream_stream and method.trusted:
            return self._exchange(handler, method)
        if handler.unary_unary:
            return self._single(handler, grpc.unary_unary_rpc_method_handler, method, request)
        if handler.stream_unary:
            return self._single(handler, grpc.stream_unary_rpc_method_handler, method, request)
        if handler.unary_stream:
            return self._streaming(handler, grpc.unary_stream_rpc_method_handler, method, request)
        return self._streaming(handler, grpc.stream_stream_rpc_method_handler, method, request)

    def _reader(self, name: str, handler: Any) -> Callable[[Any], Any]:
        """What makes the servicer's argument of what gRPC hands over: bytes, or an iterator of messages."""
        if handler.request_streaming:
            return lambda iterator: iterator
        deserialize, max_bytes = handler.request_deserializer, self._max_message_bytes
        if name in self._trusted_methods:
            return lambda raw: decode(deserialize, raw, max_bytes)

        def read(raw: bytes) -> Any:
            request = decode(deserialize, raw, max_bytes)
            validate(request)
            return request

        return read

    def _single(self, handler: Any, make: Any, method: Any, read: Callable[[Any], Any]) -> Any:
        serve, behaviour = self._boundary.serve, handler.unary_unary or handler.stream_unary
        serialize, max_bytes = handler.response_serializer or bytes, self._max_message_bytes

        async def respond(incoming: Any, call: Call) -> bytes:
            return encode(serialize, await behaviour(read(incoming), call.context), max_bytes)

        async def wrapped(incoming: Any, context: Any) -> Any:
            return await serve(method, incoming, context, respond)

        return make(wrapped, request_deserializer=_deserializer(handler))

    def _exchange(self, handler: Any, method: Any) -> Any:
        serve, behaviour, refusal = self._boundary.serve, handler.stream_stream, self._boundary.refusal
        deserialize, serialize = handler.request_deserializer, handler.response_serializer
        max_bytes = self._max_message_bytes

        async def respond(request: Any, call: Call) -> None:
            if isinstance(request, GatewayError):
                raise request
            if call.span is not None:
                tell_batches(call.span, request)
            answer = encode(serialize, await behaviour(request, call.context), max_bytes)
            await call.context.write(answer)

        def read(raw: bytes) -> Any:
            # What can't be read is an error of the call, and a call begins with what its request says of itself.
            try:
                return decode(deserialize, raw, max_bytes)
            except GatewayError as error:
                return error

        async def wrapped(_requests: Any, context: Any) -> None:
            refused, metadata = await refusal(context), metadata_of(context)
            while (raw := await context.read()) is not grpc.aio.EOF:
                request = refused or read(raw)
                said = {} if isinstance(request, GatewayError) else said_of(request.context)
                await serve(method, request, context, respond, {**metadata, **said})

        return grpc.stream_stream_rpc_method_handler(wrapped)

    def _streaming(self, handler: Any, make: Any, method: Any, read: Callable[[Any], Any]) -> Any:
        serve, behaviour = self._boundary.serve, handler.unary_stream or handler.stream_stream

        async def respond(incoming: Any, call: Call) -> None:
            responses = behaviour(read(incoming), call.context)
            if not hasattr(responses, "__aiter__"):
                await responses
                return
            # This loop takes the place of gRPC's own, so that a message pays for no second one.
            write = call.context.write
            async with aclosing(responses):
                async for response in responses:
                    await write(response)

        async def wrapped(incoming: Any, context: Any) -> None:
            await serve(method, incoming, context, respond)

        return make(
            wrapped,
            request_deserializer=_deserializer(handler),
            response_serializer=handler.response_serializer,
        )


def _deserializer(handler: Any) -> Any:
    # A single request stays bytes until the caller is known: nobody else's 20 MiB are parsed.
    return handler.request_deserializer if handler.request_streaming else None
