"""Sends wrong API keys, in a process of its own: so many at a time, and another one as soon as one was refused."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable

import grpc

from headgate.router.v1 import router_service_pb2, router_service_pb2_grpc
from services._runtime.direct import open_cleartext_aio
from services._runtime.key_form import checksum

Request = router_service_pb2.CountTokensRequest
Tell = Callable[[object], None]
"""When it begins, by the monotonic clock; in the end, how many were answered with each status."""
AT_ONCE = 300
_CHANNELS = 4


def wrong_key(key_id: str = "") -> str:
    text = f"hg_{key_id or secrets.token_hex(8)}_{secrets.token_hex(20)}"
    return text + checksum(text)


def send(request: Request, target: str, key_id: str, seconds: float, tell: Tell) -> None:
    asyncio.run(_send_all(request, target, key_id, seconds, tell))


async def _send_all(request: Request, target: str, key_id: str, seconds: float, tell: Tell) -> None:
    channels = [open_cleartext_aio(target, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(_CHANNELS)]
    routers = [router_service_pb2_grpc.RouterServiceStub(channel) for channel in channels]
    counted: Counter[str] = Counter()
    began = time.monotonic()
    tell(began)

    async def ask(number: int) -> None:
        router = routers[number % _CHANNELS]
        while time.monotonic() - began < seconds:
            metadata = (("authorization", f"Bearer {wrong_key(key_id)}"),)
            try:
                await router.CountTokens(request, metadata=metadata, timeout=60)
                counted["OK"] += 1
            except grpc.aio.AioRpcError as error:
                counted[error.code().name] += 1

    await asyncio.gather(*(ask(number) for number in range(AT_ONCE)))
    tell(counted)
    await asyncio.gather(*(channel.close() for channel in channels))
