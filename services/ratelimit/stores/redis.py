"""Buckets and reservations in Redis, shared by every replica that points at it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.ratelimit.binding import escaped
from services.ratelimit.bucket import Bucket, Kind, Standing
from services.ratelimit.limit import NOTHING, Metric
from services.ratelimit.store import Decision, Reservation, Resolution
from services.ratelimit.stores.redis_script import Script, ScriptedRedis, lua
from services.ratelimit.token_bucket import fits_after_us, reset_after_us

# Another format of buckets or reservations is another prefix: what an older version wrote is not found, and expires.
_PREFIX = "hgr1:"
_SETTLED, _RELEASED = 2, 3
_encode = msgspec.msgpack.Encoder().encode


class _Row(msgspec.Struct, array_like=True):
    """A row of the answer of reserve.lua. The outlook's meaning depends on the kind."""

    limit_id: str
    metric: int
    capacity: int
    shadow: bool
    exceeded: bool
    wanted: int
    kind: int
    amount: int
    interval_us: int
    units: int
    outlook: int
    fits_after_us: int


_decode_decisions = msgspec.msgpack.Decoder(list[tuple[bool, list[_Row]]]).decode
_decode_peeked = msgspec.msgpack.Decoder(list[tuple[bool, int, int, int, int, int]]).decode


class RedisBucketStore:
    """Implements BucketStore over Redis 7 or later. `clock` is the Lua of the scripts' clock.

    A batch is one script call, so one round trip: each item is decided over all its buckets at once, on Redis's own time.
    Every key expires by itself.

    The keys of an organisation share a hash tag, as Redis Cluster asks of a script's keys. A limit that counts across
    organisations does not fit there, nor does a batch of several organisations: this version runs on a single Redis (with
    replicas), where both are exact.
    """

    def __init__(self, redis: ScriptedRedis, clock: str | None = None) -> None:
        self._redis = redis
        parts = (lua("clock") if clock is None else clock, lua("buckets"))
        self._reserve, self._resolve = Script(*parts, lua("reserve")), Script(*parts, lua("resolve"))
        self._renew, self._peek = Script(*parts, lua("renew")), Script(*parts, lua("peek"))

    async def reserve(self, reservations: Sequence[Reservation]) -> list[Decision]:
        keys = [_record_key(each.organization_id, each.reservation_id) for each in reservations]
        packed = _encode([(each.ttl_us, _asked(each)) for each in reservations])
        answer = _decode_decisions(await self._redis.run(self._reserve, keys, packed))
        return [Decision(admitted, tuple(map(_standing, rows))) for admitted, rows in answer]

    async def settle(self, resolutions: Sequence[Resolution]) -> list[bool]:
        keys = [_record_key(each.organization_id, each.reservation_id) for each in resolutions]
        used = _encode([each.amounts for each in resolutions])
        answer = await self._redis.run(self._resolve, keys, used, _SETTLED)
        return [settled == 1 for settled in answer]

    async def exchange(
        self, resolutions: Sequence[Resolution], reservations: Sequence[Reservation]
    ) -> tuple[list[bool], list[Decision]]:
        settled = await self.settle(resolutions) if resolutions else []
        return settled, await self.reserve(reservations) if reservations else []

    async def release(self, organization_id: str, reservation_id: str) -> bool:
        keys = [_record_key(organization_id, reservation_id)]
        answer = await self._redis.run(self._resolve, keys, _encode([NOTHING]), _RELEASED)
        return bool(answer[0] == 1)

    async def renew(self, organization_id: str, reservation_id: str, ttl_us: int) -> bool:
        answer = await self._redis.run(self._renew, [_record_key(organization_id, reservation_id)], ttl_us)
        return bool(answer == 1)

    async def peek(self, buckets: Sequence[Bucket]) -> tuple[Standing, ...]:
        asked = [(*_address(bucket), bucket.capacity) for bucket in buckets]
        answer = _decode_peeked(await self._redis.run(self._peek, [], _encode(asked)))
        return tuple(
            _standing(
                _Row(
                    bucket.limit_id,
                    bucket.metric,
                    bucket.capacity,
                    bucket.shadow,
                    exceeded,
                    0,
                    bucket.shape.kind,
                    *rest,
                )
            )
            for bucket, (exceeded, *rest) in zip(buckets, answer, strict=True)
        )

    async def close(self) -> None:
        await self._redis.close()


def _record_key(organization_id: str, reservation_id: str) -> str:
    return f"{_PREFIX}{{{escaped(organization_id)}}}:r:{reservation_id}"


def _address(bucket: Bucket) -> tuple[str, int, int, int]:
    shape = bucket.shape
    return _PREFIX + bucket.key, shape.kind, shape.amount, shape.interval_us


def _asked(reservation: Reservation) -> list[tuple[Any, ...]]:
    return [
        (
            *_address(bucket),
            reservation.amounts[bucket.metric - 1],
            bucket.limit_id,
            bucket.metric,
            bucket.capacity,
            bucket.shadow,
        )
        for bucket in reservation.buckets
    ]


def _standing(row: _Row) -> Standing:
    reset, fits = row.outlook, row.fits_after_us
    after: int | None = fits if row.wanted <= row.capacity else None
    if row.kind == Kind.TOKEN_BUCKET:
        fill = row.units * row.interval_us - row.outlook
        reset = reset_after_us(fill, row.amount)
        after = fits_after_us(fill, row.amount, row.interval_us, row.wanted, row.capacity)
    return Standing(
        row.limit_id,
        Metric(row.metric),
        row.capacity,
        row.shadow,
        exceeded=row.exceeded,
        remaining=max(0, row.capacity - row.units),
        reset_after_us=reset,
        fits_after_us=after if row.exceeded else 0,
    )
