"""A small real service, described in code and served by the runtime; also a process of its own (`python -m`)."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from headgate.common.v1 import batch_context_pb2
from services._runtime import context
from services._runtime.configuration.settings import ProcessSettings, SharedSettings, setting
from services._runtime.errors import Code, GatewayError, PeerUnavailableError, QuotaViolation
from services._runtime.process.run import Application, run
from services._runtime.rpc.authentication import require_internal_token
from services._runtime.rpc.server import Service
from services._runtime.telemetry.telemetry import Telemetry

NAME = "headgate.test.v1.EchoService"
TRUSTED_METHODS = frozenset({f"/{NAME}/BatchEcho", f"/{NAME}/Exchange"})
_String, _Message = (
    descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
)


_FLOOD = "x" * 500_000


def _describe() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="headgate/test/v1/echo.proto", package="headgate.test.v1", syntax="proto3"
    )
    imported = (validate_pb2, field_behavior_pb2, batch_context_pb2)
    file.dependency.extend(module.DESCRIPTOR.name for module in imported)
    part = file.message_type.add(name="Part").field.add(name="text", number=1, type=_String, label=1)
    part.options.Extensions[validate_pb2.field].string.min_len = 1
    part.options.Extensions[field_behavior_pb2.field_behavior].append(field_behavior_pb2.REQUIRED)
    request = file.message_type.add(name="EchoRequest")
    request.field.add(name="parts", number=1, type=_Message, label=3, type_name=".headgate.test.v1.Part")
    request.field.add(name="mode", number=2, type=_String, label=1)
    entry = request.nested_type.add(name="LabelsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_String, label=1)
    entry.field.add(name="value", number=2, type=_String, label=1)
    entry_name = ".headgate.test.v1.EchoRequest.LabelsEntry"
    labels = request.field.add(name="labels", number=3, type=_Message, label=3, type_name=entry_name)
    labels.options.Extensions[validate_pb2.field].map.values.string.max_len = 5
    said = batch_context_pb2.BatchContext.DESCRIPTOR.full_name
    request.field.add(name="context", number=4, type=_Message, label=1, type_name=f".{said}")
    file.message_type.add(name="EchoResponse").field.add(name="text", number=1, type=_String, label=1)
    service = file.service.add(name="EchoService")
    for method, streams_in, streams_out in (
        ("Echo", False, False),
        ("BatchEcho", False, False),
        ("Yield", False, True),
        ("Write", False, True),
        ("Chat", True, True),
        ("Exchange", True, True),
    ):
        service.method.add(
            name=method,
            input_type=".headgate.test.v1.EchoRequest",
            output_type=".headgate.test.v1.EchoResponse",
            client_streaming=streams_in,
            server_streaming=streams_out,
        )
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    return descriptor_pool.Default()


def _class(name: str) -> Any:
    descriptor = _pool.FindMessageTypeByName(f"headgate.test.v1.{name}")
    return message_factory.GetMessageClass(descriptor)


_pool = _describe()
Part, EchoRequest, EchoResponse = _class("Part"), _class("EchoRequest"), _class("EchoResponse")
CODECS = {
    "request_serializer": EchoRequest.SerializeToString,
    "response_deserializer": EchoResponse.FromString,
}


def request(*texts: str, mode: str = "") -> Any:
    return EchoRequest(parts=[Part(text=text) for text in texts], mode=mode)


class LimitedError(GatewayError):
    code = Code.RESOURCE_EXHAUSTED
    reason = "RATE_LIMITED"


class EchoServicer:
    """Echoes; `mode` asks for a failure, a wait, or a look at the request's context."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.unavailable_times = 0
        self._writing_since: float | None = None
        self.calls = 0

    @property
    def blocked(self) -> bool:
        """Whether a write has been waiting for the client for a while."""
        return self._writing_since is not None and time.monotonic() - self._writing_since > 0.1

    async def echo(self, incoming: Any, rpc: Any) -> Any:
        self.calls += 1
        if incoming.mode == "flaky" and self.unavailable_times > 0:
            self.unavailable_times -= 1
            raise PeerUnavailableError("not now")
        await self._act(incoming.mode, rpc)
        return EchoResponse(text=self._answer(incoming))

    async def stream(self, incoming: Any, rpc: Any) -> AsyncIterator[Any]:
        try:
            for part in incoming.parts:
                yield EchoResponse(text=part.text)
            while incoming.mode == "flood":
                self._writing_since = time.monotonic()
                yield EchoResponse(text=_FLOOD)
            await self._act(incoming.mode, rpc)
        finally:
            self.ended.put_nowait("yield")

    async def write(self, incoming: Any, rpc: Any) -> None:
        try:
            context.current().trailing_metadata.append(("x-cache", "miss"))
            for part in incoming.parts:
                await rpc.write(EchoResponse(text=part.text))
            while incoming.mode == "flood":
                self._writing_since = time.monotonic()
                await rpc.write(EchoResponse(text=_FLOOD))
            await self._act(incoming.mode, rpc)
        finally:
            self.ended.put_nowait("write")

    async def chat(self, incoming: AsyncIterator[Any], _rpc: Any) -> AsyncIterator[Any]:
        async for each in incoming:
            yield EchoResponse(text="".join(part.text for part in each.parts))

    def _answer(self, incoming: Any) -> str:
        current = context.current()
        known = {
            "request_id": current.request_id,
            "principal": str(current.principal),
            "deadline": str(current.deadline),
            "traceparent": str(current.traceparent),
            "large": _FLOOD,
        }
        return known.get(incoming.mode) or "".join(part.text for part in incoming.parts)

    async def _act(self, mode: str, rpc: Any) -> None:
        if mode == "boom":
            raise RuntimeError("a defect")
        if mode == "limited":
            context.current().trailing_metadata.append(("x-headgate-cost-nanos", "7"))
            violations = [QuotaViolation("limit:rpm", "60 a minute")]
            raise LimitedError("slow down", retry_after_seconds=2.5, quota_violations=violations)
        if mode == "billed":
            raise PeerUnavailableError("what was produced is billed", retryable=False)
        if mode == "wait":
            self.entered.set()
            await self.release.wait()


def add_echo(servicer: EchoServicer, server: grpc.aio.Server) -> None:
    codecs = {
        "request_deserializer": EchoRequest.FromString,
        "response_serializer": EchoResponse.SerializeToString,
    }
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(servicer.echo, **codecs),
        "BatchEcho": grpc.unary_unary_rpc_method_handler(servicer.echo, **codecs),
        "Yield": grpc.unary_stream_rpc_method_handler(servicer.stream, **codecs),
        "Write": grpc.unary_stream_rpc_method_handler(servicer.write, **codecs),
        "Chat": grpc.stream_stream_rpc_method_handler(servicer.chat, **codecs),
        "Exchange": grpc.stream_stream_rpc_method_handler(servicer.echo, **codecs),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))


@dataclass(frozen=True, kw_only=True)
class EchoSettings(ProcessSettings):
    store: str = setting("memory", "where nothing is kept")
    release_on_stop: bool = setting(default=False, about="let waiting calls end when the process drains")


async def compose(settings: EchoSettings, shared: SharedSettings, telemetry: Telemetry) -> Application:
    servicer = EchoServicer()

    async def flush() -> None:
        telemetry.log.info("flushed")

    return Application(
        [Service(NAME, partial(add_echo, servicer))],
        authenticate=require_internal_token(shared.internal_token),
        trusted_methods=TRUSTED_METHODS,
        on_stop=[flush],
    )


def keeps_state(settings: EchoSettings) -> str | None:
    return "HEADGATE_ECHO_STORE=memory" if settings.store == "memory" else None


if __name__ == "__main__":
    sys.exit(run("echo", EchoSettings, compose, single_process=keeps_state))
