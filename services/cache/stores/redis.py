"""Entries in Redis, shared by every replica that points at it."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from typing import Any, Self
from urllib.parse import quote

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.cache.entry import Entry
from services.cache.errors import StoreUnavailableError
from services.cache.store import MAX_FORGOTTEN_TAGS, Address, Occupancy, Write, Written
from services.cache.stores.packing import pack, unpack

# Another format of entries or epochs is another prefix: what an older version wrote is not found, and expires.
_PREFIX = "hgc1"
_MAX_CONNECTIONS = 32
_UNAVAILABLE = (
    TimeoutError,
    RedisConnectionError,
    RedisTimeoutError,
    OutOfMemoryError,
    ReadOnlyError,
    ClusterDownError,
)


class _Script:
    def __init__(self, name: str) -> None:
        self.text = resources.files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_READ, _WRITE, _FORGET_TAG = _Script("read"), _Script("write"), _Script("forget_tag")
_Call = tuple[_Script, list[str], list[bytes | str | int]]
"""One run of a script: its keys and its arguments."""


class RedisEntryStore:
    """An EntryStore over Redis 7 or later.

    The byte cap is Redis's own: set `maxmemory`, and `maxmemory-policy allkeys-lru`, which drops the least recently used of
    all organisations together. What it drops is a miss; when it drops an organisation's epochs, all entries of that
    organisation are misses, so that nothing forgotten can come back. Redis counts evictions and bytes for itself
    (INFO), and this store tells neither.

    A call is one script per organisation in it, all in one pipeline. Keys of an organisation share a hash tag, as Redis
    Cluster asks of a script's keys. Times are the caller's: Redis's own expiry only gives back the room.
    """

    def __init__(self, client: Redis, timeout_seconds: float, max_ttl_ns: int) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._max_ttl_ms = _milliseconds(max_ttl_ns)

    @classmethod
    def connect(cls, url: str, timeout_seconds: float, max_ttl_ns: int) -> Self:
        """Nothing is sent yet. A connection that broke while idle is replaced at once, and only once.

        :raises ValueError: `url` is malformed.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            socket_timeout=None,
            retry=Retry(NoBackoff(), retries=1, supported_errors=(RedisConnectionError,)),
        )
        return cls(Redis.from_pool(pool), timeout_seconds, max_ttl_ns)

    async def read(self, addresses: Sequence[Address], now_ns: int) -> Sequence[Entry | None]:
        return (await self.exchange((), addresses, now_ns))[1]

    async def write(self, writes: Sequence[Write], now_ns: int) -> Written:
        return (await self.exchange(writes, (), now_ns))[0]

    async def exchange(
        self, writes: Sequence[Write], addresses: Sequence[Address], now_ns: int
    ) -> tuple[Written, Sequence[Entry | None]]:
        places = _by_organization(addresses)
        calls = self._writing(writes, now_ns)
        written = len(calls)
        calls += [
            (_READ, _keys(organization_id, [addresses[place].key for place in own]), [])
            for organization_id, own in places.items()
        ]
        answers = (await self._run(calls))[written:]
        found: list[Entry | None] = [None] * len(addresses)
        for own, entries in zip(places.values(), answers, strict=True):
            for place, stamped in zip(own, entries, strict=True):
                found[place] = _unexpired(stamped, now_ns)
        return Written([True] * len(writes), {}), found

    async def forget(self, address: Address) -> None:
        with self._translated():
            async with asyncio.timeout(self._timeout_seconds):
                await self._client.unlink(_keys(address.organization_id, [address.key])[1])

    async def forget_tag(self, organization_id: str, tag: str) -> None:
        await self._run([(_FORGET_TAG, _keys(organization_id, []), [tag, MAX_FORGOTTEN_TAGS])])

    async def forget_organization(self, organization_id: str) -> None:
        with self._translated():
            async with asyncio.timeout(self._timeout_seconds):
                await self._client.unlink(*_keys(organization_id, []))

    def occupancy(self, organization_id: str | None) -> Occupancy | None:  # noqa: ARG002 - of the port
        return None

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    def _writing(self, writes: Sequence[Write], now_ns: int) -> list[_Call]:
        calls: list[_Call] = []
        for organization_id, own in _by_organization([write.address for write in writes]).items():
            arguments: list[bytes | str | int] = [self._max_ttl_ms]
            for place in own:
                entry = writes[place].entry
                arguments += (_milliseconds(entry.expires_ns - now_ns), pack(entry, writes[place].tags))
            keys = _keys(organization_id, [writes[place].address.key for place in own])
            calls.append((_WRITE, keys, arguments))
        return calls

    async def _run(self, calls: Sequence[_Call]) -> list[Any]:
        """One result per call, in one round trip; in a few after Redis lost its scripts."""
        with self._translated():
            async with asyncio.timeout(self._timeout_seconds):
                results = await self._pipeline(calls)
                if any(isinstance(result, NoScriptError) for result in results):
                    for text in {script.text for script, _, _ in calls}:
                        await self._client.script_load(text)
                    results = await self._pipeline(calls)
                for result in results:
                    if isinstance(result, ResponseError):
                        raise result
                return results

    async def _pipeline(self, calls: Sequence[_Call]) -> list[Any]:
        # On a connection itself: redis-py's own pipeline takes as long as all else that a call costs here.
        commands = [
            pack_command(("EVALSHA", script.sha, len(keys), *keys, *arguments))  # type: ignore[arg-type] # its stub knows one
            for script, keys, arguments in calls
        ]
        pool: Any = self._client.connection_pool
        connection = await pool.get_connection()
        try:
            answers: list[Any] = await connection.retry.call_with_retry(
                lambda: _ask(connection, commands), lambda _: connection.disconnect()
            )
            return answers
        finally:
            await pool.release(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _UNAVAILABLE as error:
            reason = str(error) or f"no answer within {self._timeout_seconds} s"
            raise StoreUnavailableError(f"the cache's Redis is not available: {reason}") from error


async def _ask(connection: Any, commands: list[bytes]) -> list[Any]:
    """An answer, or the error that Redis gave in its place, for each command."""
    await connection.send_packed_command(commands)
    answers = []
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:
            answers.append(error)
    return answers


def _by_organization(addresses: Sequence[Address]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, address in enumerate(addresses):
        places.setdefault(address.organization_id, []).append(place)
    return places


def _keys(organization_id: str, keys: Sequence[bytes]) -> list[str]:
    """The key of the organisation's epochs, then those of its entries."""
    prefix = _namespace(organization_id)
    return [f"{prefix}:epochs", *[f"{prefix}:{key.hex()}" for key in keys]]


@lru_cache(maxsize=4096)
def _namespace(organization_id: str) -> str:
    # Quoted, so that no organisation's id can end the hash tag or pass for more than a name.
    return f"{_PREFIX}:{{{quote(organization_id, safe='')}}}"


def _milliseconds(ns: int) -> int:
    return max(1, -(-ns // 1_000_000))


def _unexpired(stamped: bytes | None, now_ns: int) -> Entry | None:
    entry = None if stamped is None else unpack(stamped)
    return entry if entry is not None and entry.expires_ns > now_ns else None
