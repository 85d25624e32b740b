"""Several processes that serve one port: started, announced, measured and ended together."""

import asyncio
import importlib
import multiprocessing
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from services._runtime.address import join_host_port
from services._runtime.configuration.environment import MisconfiguredError
from services._runtime.process.serving import (
    EXIT_MISCONFIGURED,
    Addresses,
    Plan,
    announce,
    serve,
    start_metrics,
    stop_on_signals,
    tell_misconfigured,
)
from services._runtime.rpc.server import StartError, checked_listen
from services._runtime.telemetry.logs import get_logger
from services._runtime.telemetry.metrics import MetricsEndpoint
from services._runtime.telemetry.worker_metrics import merged_exposition

_spawn = multiprocessing.get_context("spawn")


class Worker:
    """One spawned process and what it has told."""

    def __init__(self, plan: Plan[Any], index: int) -> None:
        self._told, tell = _spawn.Pipe(duplex=False)
        self.process = _spawn.Process(target=work, args=(plan, tell), name=f"{plan.service}-{index}")
        self.process.start()
        tell.close()
        self.ended = _readable(self.process.sentinel)

    async def addresses(self) -> Addresses | None:
        """Where it serves, once it does; None when it ended before."""
        await _readable(self._told.fileno())
        try:
            told: Addresses = self._told.recv()
        except EOFError:
            return None
        return told


def supervise(plan: Plan[Any]) -> int:
    """Serve with `workers` processes until a signal, or until one of them ends: then all end, to be started anew."""
    plan = replace(plan, compose=_importable(plan.compose))
    with _reserved(plan) as reserved:
        return asyncio.run(_supervise(plan, join_host_port(*reserved.getsockname()[:2])))


def _importable(compose: Any) -> Any:
    """The same function by a name that a spawned process knows.

    Such a process loads the parent's main module anew, but not one that is a package's `__main__`.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if compose.__module__ != "__main__" or spec is None or not spec.name.endswith(".__main__"):
        return compose
    return getattr(importlib.import_module(spec.name), compose.__name__)


async def _supervise(plan: Plan[Any], address: str) -> int:
    metrics_listen = "127.0.0.1:0" if plan.settings.serves_metrics else "off"
    settings = replace(plan.settings, listen=address, port_file=None, metrics_listen=metrics_listen)
    workers = [Worker(replace(plan, settings=settings), index) for index in range(plan.settings.workers)]
    stop = stop_on_signals((signal.SIGTERM, signal.SIGINT), at_once=lambda number: _kill(workers, number))
    async with AsyncExitStack() as ending:
        ending.push_async_callback(_end, workers)
        await _announce_when_ready(plan, workers, address, ending)
        stopping = asyncio.create_task(stop.wait())
        waits: list[asyncio.Future[Any]] = [stopping, *(worker.ended for worker in workers)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    codes = [abs(worker.process.exitcode or 0) for worker in workers]
    if stop.is_set():
        return max(codes)
    get_logger().error("a worker ended by itself", exit_codes=codes)
    return max(1, *codes)


async def _announce_when_ready(
    plan: Plan[Any], workers: list[Worker], address: str, ending: AsyncExitStack
) -> None:
    told = [await worker.addresses() for worker in workers]
    ready = [addresses for addresses in told if addresses is not None]
    if len(ready) < len(workers):
        return
    metrics = ""
    if plan.settings.serves_metrics:
        endpoint = MetricsEndpoint(merged_exposition([addresses.metrics for addresses in ready]))
        metrics = await start_metrics(plan, endpoint, ending)
    announce(plan, Addresses(address, metrics), [worker.process.pid or 0 for worker in workers])


async def _end(workers: list[Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    await asyncio.gather(*(worker.ended for worker in workers))
    for worker in workers:
        worker.process.join()


def _kill(workers: list[Worker], number: int) -> None:
    for worker in workers:
        worker.process.kill()
    os._exit(128 + number)


def _reserved(plan: Plan[Any]) -> socket.socket:
    """The port, bound but not listening: it stays ours while workers come and go, and port 0 is chosen once."""
    host, port = checked_listen(plan.settings, plan.prefix)
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    reserved = socket.socket(family, kind)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        reserved.bind(address)
    except OSError as error:
        reserved.close()
        raise StartError(f"{plan.prefix}LISTEN={plan.settings.listen} can't be bound: {error}") from None
    return reserved


def work(plan: Plan[Any], tell: Connection) -> None:
    """A worker's whole life; it ends by its parent's SIGTERM, or when the parent is gone."""
    # Ctrl-C reaches the whole process group: the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = uvloop.run(_work(plan, tell))
    except (MisconfiguredError, StartError) as error:
        tell_misconfigured(error)
        code = EXIT_MISCONFIGURED
    sys.exit(code)


async def _work(plan: Plan[Any], tell: Connection) -> int:
    stop = stop_on_signals((signal.SIGTERM,))
    if (parent := multiprocessing.parent_process()) is not None:
        _readable(parent.sentinel).add_done_callback(lambda _gone: stop.set())
    return await serve(plan, tell.send, stop)


def _readable(descriptor: int) -> "asyncio.Future[None]":
    """Done when the descriptor can be read, or its other end is gone."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def on_readable() -> None:
        loop.remove_reader(descriptor)
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(descriptor, on_readable)
    return readable
