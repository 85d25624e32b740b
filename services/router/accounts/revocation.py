"""Ends what runs for an API key that was revoked, or has expired: a stream outlives by far the call that let it in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from headgate.billing.v1 import account_service_pb2 as accounts
from services._runtime.errors import Code, GatewayError

LOOK_EVERY_SECONDS = 4.0
_AT_ONCE = 8


class Keys(Protocol):
    """Where keys are kept."""

    def key(self, request: accounts.GetKeyRequest) -> Awaitable[accounts.GetKeyResponse]:
        """:raises GatewayError: NOT_FOUND; UNAVAILABLE when nobody can say."""


class Revocations:
    """Looks every few seconds at the keys of what has run for as long; a key of short requests is never asked for.

    `running` gives the ids of those keys, `end` ends what runs for one. While billing can't be reached, everything goes on.
    """

    def __init__(
        self,
        keys: Keys,
        running: Callable[[], Iterable[str]],
        end: Callable[[str], None],
        epoch_ns: Callable[[], int],
    ) -> None:
        self._keys = keys
        self._running = running
        self._end = end
        self._epoch_ns = epoch_ns
        self._door = asyncio.Semaphore(_AT_ONCE)
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._look_for_ever())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    async def look(self) -> None:
        """Once, at every key."""
        await asyncio.gather(*map(self._look_at, self._running()))

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.look()

    async def _look_at(self, key_id: str) -> None:
        async with self._door:
            if await self._has_ended(key_id):
                self._end(key_id)

    async def _has_ended(self, key_id: str) -> bool:
        try:
            key = (await self._keys.key(accounts.GetKeyRequest(key_id=key_id))).key
        except GatewayError as error:
            return error.code is Code.NOT_FOUND
        if key.HasField("revoke_time"):
            return True
        return key.HasField("expire_time") and key.expire_time.ToNanoseconds() <= self._epoch_ns()
