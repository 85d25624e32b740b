"""The API's limits in Redis: one hash, and a version that every change moves on."""

from dataclasses import replace

import msgspec

from services.ratelimit.errors import EtagMismatchError, LimitNotFoundError
from services.ratelimit.limit import Limit
from services.ratelimit.stores.limit_format import pack_limit, unpack_limit
from services.ratelimit.stores.redis_script import Script, ScriptedRedis, lua

_LIMITS, _VERSION = "hgr1:{limits}:all", "hgr1:{limits}:version"
_PUT, _DELETE = Script(lua("put_limit")), Script(lua("delete_limit"))
_READ = Script("return { redis.call('GET', KEYS[2]), redis.call('HVALS', KEYS[1]) }")
_ABSENT, _CHANGED = 0, -1
_decode_stored = msgspec.msgpack.Decoder(tuple[int, int, str]).decode


class RedisLimitStore:
    """Implements LimitStore. A limit's etag is the version that wrote it."""

    def __init__(self, redis: ScriptedRedis) -> None:
        self._redis = redis

    async def version(self) -> int:
        return int(await self._redis.within_time(lambda: self._redis.client.get(_VERSION)) or 0)

    async def read(self) -> tuple[int, tuple[Limit, ...]]:
        version, stored = await self._redis.run(_READ, [_LIMITS, _VERSION])
        return int(version or 0), tuple(map(_limit, stored))

    async def put(self, limit: Limit) -> Limit:
        packed = pack_limit(limit)
        answer = await self._redis.run(_PUT, [_LIMITS, _VERSION], limit.limit_id, packed, limit.etag)
        if answer is None:
            raise EtagMismatchError(f"limit {limit.limit_id} is not at etag {limit.etag}; read it again")
        version, generation = answer
        return replace(limit, etag=str(version), generation=generation)

    async def delete(self, limit_id: str, etag: str) -> None:
        answer = await self._redis.run(_DELETE, [_LIMITS, _VERSION], limit_id, etag)
        if answer == _ABSENT:
            raise LimitNotFoundError(f"there is no limit {limit_id}")
        if answer == _CHANGED:
            raise EtagMismatchError(f"limit {limit_id} is not at etag {etag}; read it again")


def _limit(stored: bytes) -> Limit:
    version, generation, packed = _decode_stored(stored)
    return replace(unpack_limit(packed), etag=str(version), generation=generation)
