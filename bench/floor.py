"""The floor: what a bare grpc.aio server costs that does nothing. `python -m bench.floor` prints its address.

With `--accepting` it takes calls as Headgate's services do.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

SERVICE = "bench.v1.Floor"
ACCEPTING = "--accepting"


async def _echo(request: bytes, _context: Any) -> bytes:
    return request


async def _stream(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    """As many messages as its first four digits say."""
    for _ in range(int(request[:4])):
        yield request


async def _exchange(_requests: object, context: Any) -> None:
    while (request := await context.read()) is not grpc.aio.EOF:
        await context.write(request)


def _server(*, accepting: bool) -> grpc.aio.Server:
    if not accepting:
        return grpc.aio.server()
    from services._runtime.rpc.accepting import make_server

    return make_server((), ())


async def _serve(*, accepting: bool) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = _server(accepting=accepting)
    handlers: dict[str, Any] = {
        "Echo": grpc.unary_unary_rpc_method_handler(_echo),
        "Stream": grpc.unary_stream_rpc_method_handler(_stream),
        "Exchange": grpc.stream_stream_rpc_method_handler(_exchange),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"ready 127.0.0.1:{port}", flush=True)
    await ended.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(_serve(accepting=ACCEPTING in sys.argv))
