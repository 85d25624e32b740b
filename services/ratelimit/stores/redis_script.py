"""A Redis with scripts: one round trip a call, a time limit, and failures as StoreUnavailableError."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, Self, TypeVar

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.ratelimit.errors import StoreUnavailableError

_T = TypeVar("_T")
_UNAVAILABLE = (
    TimeoutError,
    RedisConnectionError,
    RedisTimeoutError,
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ClusterDownError,
)


class Script:
    """The parts, one after the other, as one script."""

    def __init__(self, *parts: str) -> None:
        self.text = "\n".join(parts)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def lua(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


class _PackedInC:
    """Mixed into a connection: a batch is packed in a twentieth of the time that redis-py's own packing takes."""

    def pack_command(self, name: str, *arguments: str | bytes | int) -> list[bytes]:
        return [pack_command((*name.split(), *arguments))]  # type: ignore[arg-type] # its stub knows one argument


class ScriptedRedis:
    """A pool of connections to one Redis 7 or later."""

    def __init__(self, client: Redis, timeout_seconds: float) -> None:
        self.client = client
        self._timeout_seconds = timeout_seconds

    @classmethod
    def connect(cls, url: str, timeout_seconds: float, max_connections: int) -> Self:
        """Nothing is sent yet. A connection that broke is replaced, and its call sent again, once.

        :raises ValueError: `url` is malformed.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            socket_timeout=None,
            retry=Retry(NoBackoff(), retries=1, supported_errors=(RedisConnectionError,)),
        )
        pool.connection_class = type("Connection", (_PackedInC, pool.connection_class), {})
        return cls(Redis.from_pool(pool), timeout_seconds)

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """What the script answers; a Redis that does not know it yet is given it.

        :raises StoreUnavailableError: no answer in time.
        """

        async def send() -> Any:
            try:
                return await self.client.evalsha(script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return await self.client.eval(script.text, len(keys), *keys, *arguments)

        return await self.within_time(send)

    async def within_time(self, send: Callable[[], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await send()
        except _UNAVAILABLE as error:
            raise StoreUnavailableError(f"Redis does not answer: {str(error) or 'timeout'}") from error

    async def close(self) -> None:
        await self.client.aclose()
