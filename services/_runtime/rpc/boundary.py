"""One incoming call from its first byte to its status: admission, the error table, and the accounts of it."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import grpc
from opentelemetry.trace import Span, StatusCode

from services._runtime import context as request_context
from services._runtime.address import caller_address
from services._runtime.context import REQUEST_ID_KEY, RequestContext
from services._runtime.errors import Code, GatewayError, InternalError
from services._runtime.rpc.authentication import AddressNeededError, AskFrom, Authenticate
from services._runtime.status import to_wire
from services._runtime.telemetry import semconv
from services._runtime.telemetry.metrics import MethodMetrics
from services._runtime.telemetry.telemetry import Telemetry

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_SERVER_FAULTS = frozenset(
    {Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED}
)


class Call:
    """A call that was let in or refused: our context of it, and gRPC's once its request has arrived."""

    __slots__ = ("ask", "context", "metadata", "refusal", "request", "span", "started")

    def __init__(self, request: RequestContext, metadata: Mapping[str, Any]) -> None:
        self.request = request
        self.metadata = metadata
        self.context: Any = None
        self.started = 0.0
        self.span: Span | None = None
        self.ask: AskFrom | None = None
        self.refusal: Exception | None = None


_arriving: ContextVar[Call] = ContextVar("headgate_arriving_call")
"""Of the task that gRPC serves a call in."""


class Method:
    """What is known of a method before any call of it. An exchange's calls are the messages of its streams."""

    __slots__ = ("is_exchange", "metrics", "name", "trusted")

    def __init__(self, name: str, metrics: MethodMetrics, *, trusted: bool, is_exchange: bool) -> None:
        self.name = name
        self.trusted = trusted
        self.is_exchange = is_exchange
        self.metrics = metrics


Respond = Callable[[Any, Call], Awaitable[Any]]


class Boundary:
    """Where calls enter a service named `service`, and where every failure becomes a status."""

    def __init__(self, service: str, telemetry: Telemetry, authenticate: Authenticate | None = None) -> None:
        self._domain = f"{service}.headgate"
        self._telemetry = telemetry
        self._authenticate = authenticate

    def method(self, full_name: str, *, trusted: bool = False, is_exchange: bool = False) -> Method:
        name = full_name.lstrip("/")
        return Method(name, self._telemetry.rpc.method(name), trusted=trusted, is_exchange=is_exchange)

    async def let_in(self, method: Method, metadata: Mapping[str, Any]) -> bool:
        """Whether the caller is, by the metadata alone: nobody's request is read before.

        What follows in the same task serves this call, or asks `let_in_from`.
        """
        call = self._admit(method, metadata)
        if not method.is_exchange:
            self._begin_span(call)
        _arriving.set(call)
        if self._authenticate is None:
            return True
        try:
            call.request.principal = await self._authenticate(metadata)
        except asyncio.CancelledError:
            raise
        except AddressNeededError as needed:
            call.ask = needed.ask
            return False
        except Exception as refusal:  # noqa: BLE001 - raised again where every failure becomes a status
            self._keep_out(method, call, refusal)
            return False
        return True

    async def let_in_from(self, method: Method, peer: str) -> bool:
        """Whether the caller that was not let in by its metadata is, now that gRPC tells where it calls from.

        What follows in the same task serves this call, or tells the caller why not.
        """
        call = _arriving.get()
        if call.ask is None:
            return False
        ask, call.ask = call.ask, None
        try:
            call.request.principal = await ask(caller_address(peer))
        except asyncio.CancelledError:
            raise
        except Exception as refusal:  # noqa: BLE001 - raised again where every failure becomes a status
            self._keep_out(method, call, refusal)
            return False
        return True

    def _keep_out(self, method: Method, call: Call, refusal: Exception) -> None:
        call.refusal = refusal
        if method.is_exchange:
            self._begin_span(call)

    async def serve(self, method: Method, incoming: Any, context: Any, respond: Respond) -> Any:
        """What `respond` returns; its failure becomes the call's status.

        A cancellation is always passed on, and is no error of this process.
        """
        return await self._serve(method, _arriving.get(), incoming, context, respond)

    async def serve_next(
        self, method: Method, incoming: Any, context: Any, respond: Respond, said: Mapping[str, Any]
    ) -> Any:
        """As `serve`, for one of many requests of a stream, each of which says what metadata would."""
        first = _arriving.get()
        call = self._admit(method, {**first.metadata, **said})
        self._begin_span(call)
        call.request.principal = first.request.principal
        return await self._serve(method, call, incoming, context, respond)

    async def _serve(self, method: Method, call: Call, incoming: Any, context: Any, respond: Respond) -> Any:
        call.context, call.started = context, time.monotonic()
        if (remaining := context.time_remaining()) is not None:
            call.request.deadline = call.started + remaining
        method.metrics.begin()
        try:
            if call.refusal is not None:
                raise call.refusal  # noqa: TRY301 - translated below, as every failure
            response = await respond(incoming, call)
            if call.request.trailing_metadata:
                context.set_trailing_metadata(tuple(call.request.trailing_metadata))
        except asyncio.CancelledError:
            self._end(method, call, _cancellation(call))
            raise
        except GatewayError as error:
            self._end(method, call, error.code, error.reason)
            self._telemetry.log.debug("refused", rpc=method.name, code=error.code, reason=error.reason)
            # A refusal needs no trace, and whoever keeps it would keep the frames, with the request.
            call.refusal = None
            await self._refuse(call, error.with_traceback(None))
        except grpc.aio.AbortError:
            self._end(method, call, _aborted_code(context))
            raise
        except grpc.aio.InternalError as error:
            # A write to a client that has gone fails so, a moment before gRPC cancels this task.
            self._end(method, call, _cancellation(call))
            raise asyncio.CancelledError from error
        except Exception as error:  # noqa: BLE001 - the one place where an unforeseen failure is translated
            await self._fail(method, call, error)
        else:
            self._end(method, call)
            return response

    def _admit(self, method: Method, metadata: Mapping[str, Any]) -> Call:
        request_id = metadata.get(REQUEST_ID_KEY)
        if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
            request_id = os.urandom(16).hex()
        request = RequestContext(
            request_id=request_id,
            method=method.name,
            # A trusted peer knows the id that it sent.
            trailing_metadata=[] if method.trusted else [(REQUEST_ID_KEY, request_id)],
        )
        call = Call(request, metadata)
        request_context.enter(request)
        return call

    def _begin_span(self, call: Call) -> None:
        call.span = self._telemetry.tracing.begin_server_span(call.request, call.metadata)

    async def _fail(self, method: Method, call: Call, error: Exception) -> None:
        self._telemetry.log.error("unexpected failure", rpc=method.name, exc_info=error)
        self._end(method, call, Code.INTERNAL, InternalError.reason)
        request_id = call.request.request_id
        await self._refuse(
            call, InternalError(f"an internal error; the log has it under request {request_id}")
        )

    async def _refuse(self, call: Call, error: GatewayError) -> None:
        """Sends the status; what the servicer would return after that, gRPC ignores."""
        wire = to_wire(error, self._domain)
        trailing = (*call.request.trailing_metadata, *wire.trailing)
        try:
            await call.context.abort(wire.code, wire.message, trailing)
        except grpc.aio.AbortError as aborted:
            # gRPC keeps it with the call, and raises it again by itself. With its trace it would hold the frames, and so the
            # request, until the collector looks for cycles, which is rarely.
            aborted.__traceback__ = aborted.__context__ = None
        except grpc.aio.InternalError as gone:
            raise asyncio.CancelledError from gone

    def _end(self, method: Method, call: Call, code: str = "OK", reason: str = "") -> None:
        method.metrics.end(
            str(code), reason or ("" if code == "OK" else str(code)), time.monotonic() - call.started
        )
        span = call.span
        if span is None:
            return
        span.set_attribute(semconv.RPC_STATUS_CODE, str(code))
        if code != "OK":
            span.set_attribute(semconv.ERROR_TYPE, reason or str(code))
        if code in _SERVER_FAULTS:
            span.set_status(StatusCode.ERROR, reason)
        span.end()


def _cancellation(call: Call) -> Code:
    deadline = call.request.deadline
    expired = deadline is not None and time.monotonic() >= deadline
    return Code.DEADLINE_EXCEEDED if expired else Code.CANCELLED


def _aborted_code(context: Any) -> str:
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else grpc_name(code)


def grpc_name(number: int) -> str:
    return next((code.name for code in grpc.StatusCode if code.value[0] == number), Code.UNKNOWN)
