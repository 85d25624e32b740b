"""Waits for peers at a start: until each is connected and says that it serves, and not for ever."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TELL_AFTER_SECONDS = 0.5
_AGAIN_SECONDS = 0.05


async def missing_peers(
    peers: Mapping[str, Sequence[grpc.aio.Channel]], wait_seconds: float, tell: Callable[[list[str]], None]
) -> list[str]:
    """The names of those that are not reached within `wait_seconds`.

    All connections of a peer that is reached are open, so that its first call waits for none. When it takes longer than
    `TELL_AFTER_SECONDS`, `tell` hears for whom it waits.
    """
    reaching = {asyncio.ensure_future(_reached(channels)): name for name, channels in peers.items()}
    patient = min(TELL_AFTER_SECONDS, wait_seconds)
    _, waiting = await asyncio.wait(reaching, timeout=patient)
    if waiting and wait_seconds > patient:
        tell([reaching[task] for task in waiting])
        _, waiting = await asyncio.wait(waiting, timeout=wait_seconds - patient)
    for task in waiting:
        task.cancel()
    return [reaching[task] for task in waiting]


async def _reached(channels: Sequence[grpc.aio.Channel]) -> None:
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    while not await _says_serving(channels[0]):  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(_AGAIN_SECONDS)


async def _says_serving(channel: grpc.aio.Channel) -> bool:
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    except grpc.aio.AioRpcError:
        return False  # it went away again, or what stands before it has nobody to ask
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
