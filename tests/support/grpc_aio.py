"""pytest-grpc's fixtures around a grpc.aio server: a real server in a thread with a loop, driven by sync stubs.

A test module (or the conftest of its folder) says how its server starts, and which stub it wants:

    @pytest.fixture(scope="module")
    def grpc_start() -> GrpcStart:
        @asynccontextmanager
        async def start() -> AsyncIterator[int]:
            server = GrpcServer(...)          # made inside the loop that will run it
            port = await server.start()
            yield port
            await server.stop()
        return start

    @pytest.fixture(scope="module")
    def grpc_stub_cls() -> type[CacheServiceStub]:
        return CacheServiceStub

    def test_…(grpc_stub: CacheServiceStub) -> None: ...

`grpc_stub`, `grpc_channel`, `grpc_create_channel` and `grpc_addr` are pytest-grpc's, per module. `grpc_loop.run(…)` runs a
coroutine beside the server, for example to look into its store. A test may also use grpc.aio stubs on `grpc_addr`.
All are registered for every test by tests/conftest.py.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

GrpcStart = Callable[[], AbstractAsyncContextManager[int]]
"""Starts the server in the running loop, gives its port, and stops it."""

_TIMEOUT_SECONDS = 60.0


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc-loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises, once it has ended in the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_TIMEOUT_SECONDS)

    def close(self) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_SECONDS)
        self._loop.close()


@pytest.fixture(scope="module")
def grpc_loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def grpc_server(grpc_loop: LoopThread, grpc_start: GrpcStart) -> Iterator[int]:
    """The server, as its port."""
    context = grpc_start()
    port = grpc_loop.run(_enter(context))
    yield port
    grpc_loop.run(_leave(context))


@pytest.fixture(scope="module")
def grpc_addr(grpc_server: int) -> str:
    return f"127.0.0.1:{grpc_server}"


async def _enter(context: AbstractAsyncContextManager[int]) -> int:
    return await context.__aenter__()


async def _leave(context: AbstractAsyncContextManager[int]) -> None:
    await context.__aexit__(None, None, None)
