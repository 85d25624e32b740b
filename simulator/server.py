"""Runs the simulator in the current event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from simulator.app import build_app
from simulator.exchange import Simulator
from simulator.models import Models

_SHUTDOWN_SECONDS = 0.25


@asynccontextmanager
async def serving(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serves for as long as the context is open; yields the base URL, without `/v1`."""
    # A handler is cancelled when its client goes away: generation stops at once, and the ledger says so.
    runner = web.AppRunner(
        build_app(simulator),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        bound_host, bound_port = runner.addresses[0][:2]
        yield f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(*, require_key: bool = False, models: tuple[str, ...] = ()) -> AsyncIterator[str]:
    """For tests: a simulator of its own on a free port of the loopback interface; yields the base URL."""
    async with serving(Simulator(Models(models), require_key)) as base_url:
        yield base_url
