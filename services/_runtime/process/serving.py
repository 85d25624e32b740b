"""One serving process: composed, announced, and ended gracefully by SIGTERM."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from services._runtime.address import join_host_port, split_host_port
from services._runtime.configuration.settings import ProcessSettings, SharedSettings
from services._runtime.private import make_folder
from services._runtime.process.memory import calm_collector, give_back_for_ever, reuse_large_blocks
from services._runtime.rpc.authentication import Authenticate
from services._runtime.rpc.boundary import Boundary
from services._runtime.rpc.interceptors import GatewayInterceptor
from services._runtime.rpc.server import GrpcServer, Service, StartError
from services._runtime.telemetry.logs import get_logger
from services._runtime.telemetry.metrics import MetricsEndpoint, exposition_of
from services._runtime.telemetry.telemetry import Telemetry, start_telemetry

S = TypeVar("S", bound=ProcessSettings)
EXIT_MISCONFIGURED = 2


@dataclass(frozen=True, slots=True)
class Application:
    """What a service's composition root hands over to be served.

    `trusted_methods` are those that only peers call, see GatewayInterceptor.
    `on_drain` are called when the end begins, while calls still run: a service that ends its long calls itself, before
    they are cut off, can tell their callers why.
    `on_stop` run in order once no call is being served any more: pumps first, then spools and stores.
    """

    services: Sequence[Service]
    authenticate: Authenticate | None = None
    trusted_methods: frozenset[str] = frozenset()
    on_drain: Sequence[Callable[[], None]] = ()
    on_stop: Sequence[Callable[[], Awaitable[None]]] = ()


@dataclass(frozen=True, slots=True)
class Plan(Generic[S]):
    """A process to be: it can be sent to a spawned worker, so `compose` is a function of a module."""

    service: str
    settings: S
    shared: SharedSettings
    compose: Callable[[S, SharedSettings, Telemetry], Awaitable[Application]]

    @property
    def prefix(self) -> str:
        return prefix_of(self.service)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a process serves: gRPC, and Prometheus (empty when that is off)."""

    grpc: str
    metrics: str


def prefix_of(service: str) -> str:
    return f"HEADGATE_{service.upper()}_"


def tell_misconfigured(error: Exception) -> None:
    for problem in str(error).splitlines():
        get_logger().error("can't start", problem=problem)
        print(problem, file=sys.stderr)  # noqa: T201 - for the person who just typed the command


async def serve(
    plan: Plan[Any], ready: Callable[[Addresses], None], stop: asyncio.Event | None = None
) -> int:
    """One serving process, from composition to the last flush."""
    stop = stop or stop_on_signals((signal.SIGTERM, signal.SIGINT))
    settings: ProcessSettings = plan.settings
    # Before there is a thread: each would have a part of the memory of its own, of which the top is never given back.
    reuse_large_blocks()
    telemetry = start_telemetry(plan.service, settings)
    async with AsyncExitStack() as ending:
        ending.callback(telemetry.tracing.shutdown)
        application = await plan.compose(plan.settings, plan.shared, telemetry)
        for step in reversed(application.on_stop):
            ending.push_async_callback(step)
        boundary = Boundary(plan.service, telemetry, application.authenticate)
        interceptor = GatewayInterceptor(
            boundary,
            application.trusted_methods,
            max_message_bytes=settings.max_message_bytes,
            max_bytes_in_flight=settings.max_request_bytes_in_flight,
        )
        server = GrpcServer(settings, application.services, [interceptor], prefix=plan.prefix)
        port = await server.start()
        metrics = await _serve_metrics(plan, telemetry, ending)
        calm_collector()
        ending.callback(asyncio.create_task(give_back_for_ever()).cancel)
        ready(Addresses(join_host_port(split_host_port(settings.listen)[0], port), metrics))
        await stop.wait()
        telemetry.log.info("draining", drain_seconds=settings.drain_seconds)
        for begin_to_end in application.on_drain:
            begin_to_end()
        await server.stop()
    telemetry.log.info("stopped")
    return 0


async def _serve_metrics(plan: Plan[Any], telemetry: Telemetry, ending: AsyncExitStack) -> str:
    if not plan.settings.serves_metrics:
        return ""
    return await start_metrics(plan, MetricsEndpoint(exposition_of(telemetry.registry)), ending)


async def start_metrics(plan: Plan[Any], endpoint: MetricsEndpoint, ending: AsyncExitStack) -> str:
    listen = plan.settings.metrics_listen
    try:
        port = await endpoint.start(listen)
    except (OSError, ValueError) as error:
        raise StartError(f"{plan.prefix}METRICS_LISTEN={listen} can't be bound: {error}") from None
    ending.push_async_callback(endpoint.stop)
    return join_host_port(split_host_port(listen)[0], port)


def announce(plan: Plan[Any], addresses: Addresses, pids: Sequence[int] = ()) -> None:
    """Tell that the process serves: a line in the log, and the port file where one is asked for."""
    process: ProcessSettings = plan.settings
    if process.port_file is not None:
        _write_whole(process.port_file, addresses.grpc)
    get_logger().info(
        "listening",
        address=addresses.grpc,
        metrics_address=addresses.metrics,
        tls=process.tls_cert_file is not None,
        workers=process.workers,
        pids=pids or [os.getpid()],
    )


def _write_whole(path: Path, text: str) -> None:
    # A reader that polls for the file must never see a part of it.
    make_folder(path.parent)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def _end_at_once(number: int) -> None:
    os._exit(128 + number)


def stop_on_signals(
    signals: Sequence[signal.Signals], at_once: Callable[[int], None] = _end_at_once
) -> asyncio.Event:
    """An event that the first signal sets; the second ends the process `at_once`.

    Ending at once loses nothing that was promised: what must last is durable before it is acknowledged.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            at_once(number)
        stop.set()

    for number in signals:
        loop.add_signal_handler(number, on_signal, number)
    return stop
