"""A gRPC server with what every service has: health, reflection, limits, TLS, a graceful stop; channelz for those who ask for it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services._runtime.address import join_host_port, split_host_port
from services._runtime.configuration.settings import ProcessSettings
from services._runtime.rpc.accepting import make_server
from services._runtime.rpc.exposure import listen_problems
from services._runtime.rpc.health import HealthServicer
from services._runtime.rpc.reflection import add_reflection

_ONLY_IDENTITY = 1
_METADATA_BYTES = 16 * 1024
_HANDSHAKE_MS = 10_000
_AGE_GRACE_SECONDS = 900.0
_CHANNELZ = "grpc.channelz.v1.Channelz"
LEAST_PING_INTERVAL_MS = 1_000
"""Clients ping every 5 s at the most often, while they wait for a long thought. The third ping that comes sooner than this after the
one before it ends the connection, so there is room for what a network or a busy machine does to the times between them."""


class StartError(Exception):
    """The process can't serve as its settings say; the text names the setting and the remedy."""


@dataclass(frozen=True, slots=True)
class Service:
    """A gRPC service (`package.Name`) and what adds its servicer to a server."""

    full_name: str
    add: Callable[[grpc.aio.Server], None]


class GrpcServer:
    """`services` on one port, with health by service name, and reflection and channelz as the settings say."""

    def __init__(
        self,
        process: ProcessSettings,
        services: Sequence[Service],
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        *,
        prefix: str = "HEADGATE_<SERVICE>_",
    ) -> None:
        self._process = process
        self._prefix = prefix
        self._services = tuple(services)
        self._server = make_server(interceptors, server_options(process))
        self._health = HealthServicer()
        methods: Any = _GenericMethods(self._server)
        for service in services:
            service.add(methods)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        names = [*(service.full_name for service in services), health.SERVICE_NAME]
        if process.channelz:
            from grpc_channelz.v1.channelz import add_channelz_servicer  # noqa: PLC0415 - for those who ask for it

            add_channelz_servicer(methods)
            names.append(_CHANNELZ)
        if process.reflection:
            add_reflection(methods, names)

    async def start(self) -> int:
        """The port on which it serves.

        :raises StartError: the address is taken, malformed, or open to others without TLS.
        """
        port = self._bind()
        for name in ("", *(service.full_name for service in self._services)):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Say NOT_SERVING, let clients notice, then let running calls end for at most `drain_seconds`."""
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._process.lame_duck_seconds)
        await self._server.stop(self._process.drain_seconds)

    def _bind(self) -> int:
        process = self._process
        host, port = checked_listen(process, self._prefix)
        address = join_host_port(host, port)
        try:
            if process.tls_cert_file is None or process.tls_key_file is None:
                return self._server.add_insecure_port(address)
            credentials = _credentials(
                process.tls_cert_file, process.tls_key_file, process.tls_client_ca_file
            )
            return self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise StartError(
                f"{self._prefix}LISTEN={process.listen} can't be bound, is the port taken? {error}"
            ) from None


class _GenericMethods:
    """Takes the place of a server whose methods are added, and registers none of them by name.

    grpc.aio waits for the next call of each registered method by itself, and begins all those waits anew at every call:
    with thirty methods that is a quarter of a unary call's CPU. One wait serves all that are added generically.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, _service: str, _handlers: object) -> None:
        """Not done, see above."""


def checked_listen(process: ProcessSettings, prefix: str) -> tuple[str, int]:
    """:raises StartError: the address is malformed, or open to other machines without TLS."""
    if problems := list(listen_problems(process, prefix)):
        raise StartError("\n".join(problems))
    return split_host_port(process.listen)


def server_options(process: ProcessSettings) -> list[tuple[str, int]]:
    options = [
        # Twice the cap: what lies between is refused by the interceptor, which can name the field that is too large.
        ("grpc.max_receive_message_length", 2 * process.max_message_bytes),
        ("grpc.max_send_message_length", process.max_message_bytes),
        # Compressed messages are refused: nobody knows what they expand to before they have.
        ("grpc.compression_enabled_algorithms_bitset", _ONLY_IDENTITY),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * _METADATA_BYTES),
        ("grpc.max_concurrent_streams", process.max_calls_per_connection),
        ("grpc.max_allowed_incoming_connections", process.max_connections),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.so_reuseport", int(process.workers > 1)),
    ]
    if process.max_connection_idle_seconds > 0:
        options.append(("grpc.max_connection_idle_ms", round(process.max_connection_idle_seconds * 1000)))
    if process.max_connection_age_seconds > 0:
        options += [
            ("grpc.max_connection_age_ms", round(process.max_connection_age_seconds * 1000)),
            # Calls that run then go on to their end, as long as any may take.
            (
                "grpc.max_connection_age_grace_ms",
                round(max(process.drain_seconds, _AGE_GRACE_SECONDS) * 1000),
            ),
        ]
    return options


def _credentials(cert_file: Path, key_file: Path, client_ca_file: Path | None) -> grpc.ServerCredentials:
    pair = (_pem(key_file), _pem(cert_file))
    client_ca = None if client_ca_file is None else _pem(client_ca_file)
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)


def _pem(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"a TLS file can't be read: {error}") from None
