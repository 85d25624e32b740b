"""The server's one interceptor: wraps each method once, so that a call pays only for what it uses."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any
from weakref import WeakValueDictionary

import grpc

from services._runtime.errors import FieldViolation, GatewayError
from services._runtime.rpc.boundary import Boundary, Call, Method
from services._runtime.rpc.room import BytesInFlight
from services._runtime.rpc.validation import decode, encode, invalid_fields, validate, validate_in_pieces
from services._runtime.rpc.wire import MOST_FIELDS, Shape, field_beyond, shape_of
from services._runtime.telemetry.propagation import said_of, tell_batches

SMALL_BYTES = 2048
"""A request that is no longer can't cost others much, whatever is in it: a field takes two bytes at least."""
PEERS_SMALL_BYTES = 64 * 1024
"""The same of peers, whose batches are long and well formed."""
FEW_FIELDS = 2_000
"""A request with no more is judged at once; with more in pieces, and one at a time of a caller."""
Read = Callable[[Any, Call], Awaitable[Any]]
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
        max_bytes_in_flight: int = 256 * 1024 * 1024,
    ) -> None:
        self._boundary = boundary
        self._trusted_methods = trusted_methods
        self._max_message_bytes = max_message_bytes
        self._in_flight = BytesInFlight(max_bytes_in_flight)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._wrapped: dict[str, tuple[Method, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        name = handler_call_details.method
        known = self._wrapped.get(name)
        if known is None:
            handler = await continuation(handler_call_details)
            # An unknown method is not remembered: a caller could make up names for ever.
            if handler is None or name.startswith(_PUBLIC_PREFIXES):
                return handler
            trusted = name in self._trusted_methods
            is_exchange = trusted and handler.stream_stream is not None
            method = self._boundary.method(name, trusted=trusted, is_exchange=is_exchange)
            known = self._wrapped[name] = method, self._wrap(name, handler, method)
        method, wrapped = known
        metadata = dict(handler_call_details.invocation_metadata or ())
        if await self._boundary.let_in(method, metadata):
            return wrapped
        return self._judging(method, wrapped)

    def _judging(self, method: Method, wrapped: Any) -> Any:
        """Answers whatever kind of call, and reads nothing that the caller sends until it is let in."""

        async def judge(requests: Any, context: Any) -> None:
            if await self._boundary.let_in_from(method, context.peer()):
                await _serve_as_stream(wrapped, requests, context)
            else:
                await self._boundary.serve(method, None, context, _nothing)

        return grpc.stream_stream_rpc_method_handler(
            judge,
            request_deserializer=wrapped.request_deserializer,
            response_serializer=wrapped.response_serializer,
        )

    def _wrap(self, name: str, handler: Any, method: Method) -> Any:
        if method.is_exchange:
            return self._exchange(handler, method)
        request = self._reader(name, handler)
        if handler.unary_unary:
            return self._single(handler, grpc.unary_unary_rpc_method_handler, method, request)
        if handler.stream_unary:
            return self._single(handler, grpc.stream_unary_rpc_method_handler, method, request)
        if handler.unary_stream:
            return self._streaming(handler, grpc.unary_stream_rpc_method_handler, method, request)
        return self._streaming(handler, grpc.stream_stream_rpc_method_handler, method, request)

    def _reader(self, name: str, handler: Any) -> Read:
        """What makes the servicer's argument of what gRPC hands over: bytes, or an iterator of messages."""
        if handler.request_streaming:
            return _as_it_comes
        deserialize, max_bytes = handler.request_deserializer, self._max_message_bytes
        shape = shape_of(deserialize.__self__.DESCRIPTOR)
        if name in self._trusted_methods:

            async def read_trusted(raw: bytes, _call: Call) -> Any:
                _check_fields(raw, shape, PEERS_SMALL_BYTES)
                return decode(deserialize, raw, max_bytes)

            return read_trusted

        async def read(raw: bytes, call: Call) -> Any:
            if len(raw) > SMALL_BYTES and field_beyond(raw, shape, FEW_FIELDS) is not None:
                _check_fields(raw, shape, SMALL_BYTES)
                async with self._turn_of(call):
                    request = decode(deserialize, raw, max_bytes)
                    await validate_in_pieces(request)
                    return request
            request = decode(deserialize, raw, max_bytes)
            validate(request)
            return request

        return read

    def _turn_of(self, call: Call) -> asyncio.Lock:
        """Its caller's: no caller waits for another's."""
        return self._turns.setdefault(_caller_of(call), asyncio.Lock())

    def _single(self, handler: Any, make: Any, method: Method, read: Read) -> Any:
        serve, behaviour = self._boundary.serve, handler.unary_unary or handler.stream_unary
        serialize, max_bytes = handler.response_serializer or bytes, self._max_message_bytes
        taking = self._taking(handler)

        async def respond(incoming: Any, call: Call) -> bytes:
            with taking(incoming, call):
                response = await behaviour(await read(incoming, call), call.context)
            return encode(serialize, response, max_bytes)

        async def wrapped(incoming: Any, context: Any) -> Any:
            return await serve(method, incoming, context, respond)

        return make(wrapped, request_deserializer=_deserializer(handler))

    def _exchange(self, handler: Any, method: Method) -> Any:
        serve_next, behaviour = self._boundary.serve_next, handler.stream_stream
        deserialize, serialize = handler.request_deserializer, handler.response_serializer
        max_bytes, shape = self._max_message_bytes, shape_of(deserialize.__self__.DESCRIPTOR)

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
                _check_fields(raw, shape, PEERS_SMALL_BYTES)
                return decode(deserialize, raw, max_bytes)
            except GatewayError as error:
                return error.with_traceback(None)

        async def wrapped(_requests: Any, context: Any) -> None:
            # A refusal ends the stream.
            while not context.code() and (raw := await context.read()) is not grpc.aio.EOF:
                request = read(raw)
                said = {} if isinstance(request, GatewayError) else said_of(request.context)
                await serve_next(method, request, context, respond, said)

        return grpc.stream_stream_rpc_method_handler(wrapped)

    def _streaming(self, handler: Any, make: Any, method: Method, read: Read) -> Any:
        serve, behaviour = self._boundary.serve, handler.unary_stream or handler.stream_stream
        taking = self._taking(handler)

        async def respond(incoming: Any, call: Call) -> None:
            with taking(incoming, call):
                responses = behaviour(await read(incoming, call), call.context)
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

    def _taking(self, handler: Any) -> Callable[[Any, Call], AbstractContextManager[None]]:
        """What a request occupies while it is served."""
        if handler.request_streaming:
            return _nothing_taken
        return lambda raw, call: self._in_flight.taken(len(raw), _caller_of(call))


def _check_fields(raw: bytes, shape: Shape, small_bytes: int) -> None:
    """:raises InvalidFieldError: there are more than any request needs; found without parsing one."""
    if len(raw) > small_bytes and (path := field_beyond(raw, shape)) is not None:
        text = f"the request has more than {MOST_FIELDS} fields in all: send fewer of these"
        raise invalid_fields([FieldViolation(path, text)])


def _caller_of(call: Call) -> str:
    return str(call.metadata.get("authorization", ""))


async def _serve_as_stream(handler: Any, requests: Any, context: Any) -> None:
    """Any kind of call, to gRPC one that streams both ways."""
    incoming = requests if handler.request_streaming else await context.read()
    if incoming is grpc.aio.EOF:
        return
    behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    response = await behaviour(incoming, context)
    if response is not None:
        await context.write(response)


async def _as_it_comes(iterator: Any, _call: Call) -> Any:
    return iterator


async def _nothing(_incoming: Any, _call: Call) -> None:
    return


def _nothing_taken(_incoming: Any, _call: Call) -> AbstractContextManager[None]:
    return nullcontext()


def _deserializer(handler: Any) -> Any:
    # A single request stays bytes until the caller is known: nobody else's 20 MiB are parsed.
    return handler.request_deserializer if handler.request_streaming else None
