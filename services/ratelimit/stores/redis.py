"""Buckets and reservations in Redis, shared by every replica that points at it."""

import struct
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from services.ratelimit.binding import escaped
from services.ratelimit.bucket import Bucket, Kind, Shape, Standing
from services.ratelimit.limit import NOTHING, Metric
from services.ratelimit.store import Decision, Reservation, Resolution
from services.ratelimit.stores.redis_script import Script, ScriptedRedis, lua
from services.ratelimit.token_bucket import fits_after_us, reset_after_us

# Another format of buckets or reservations is another prefix: what an older version wrote is not found, and expires.
_PREFIX = "hgr2:"
_SETTLED, _RELEASED = 2, 3
# Whether the limit is exceeded, the amount wanted, and the bucket's outlook in three numbers.
_ROW = struct.Struct("<5q")
_encode = msgspec.msgpack.Encoder().encode
_decode_rules = msgspec.msgpack.Decoder(list[tuple[int, int, int, int, int, bool, str]]).decode


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
        self._exchange = Script(*parts, lua("exchange"))
        self._renew, self._peek = Script(*parts, lua("renew")), Script(*parts, lua("peek"))

    async def reserve(self, reservations: Sequence[Reservation]) -> list[Decision]:
        return (await self.exchange((), reservations))[1]

    async def settle(self, resolutions: Sequence[Resolution]) -> list[bool]:
        return (await self.exchange(resolutions, ()))[0]

    async def exchange(
        self, resolutions: Sequence[Resolution], reservations: Sequence[Reservation]
    ) -> tuple[list[bool], list[Decision]]:
        return await self._resolve_and_reserve(_SETTLED, resolutions, reservations)

    async def release(self, organization_id: str, reservation_id: str) -> bool:
        nothing = Resolution(organization_id, reservation_id, NOTHING)
        (released,), _ = await self._resolve_and_reserve(_RELEASED, [nothing], ())
        return released

    async def renew(self, organization_id: str, reservation_id: str, ttl_us: int) -> bool:
        answer = await self._redis.run(self._renew, [_record_key(organization_id, reservation_id)], ttl_us)
        return bool(answer == 1)

    async def peek(self, buckets: Sequence[Bucket]) -> tuple[Standing, ...]:
        if not buckets:
            return ()
        keys, rules = _packed(tuple(buckets))
        return _standings(buckets, await self._redis.run(self._peek, keys, rules))

    async def _resolve_and_reserve(
        self, resolved: int, resolutions: Sequence[Resolution], reservations: Sequence[Reservation]
    ) -> tuple[list[bool], list[Decision]]:
        keys = [_record_key(each.organization_id, each.reservation_id) for each in resolutions]
        keys += [_record_key(each.organization_id, each.reservation_id) for each in reservations]
        used = [amount for each in resolutions for amount in each.amounts]
        asked: list[int] = []
        # Most reservations of a batch are under the same limits: their rules are sent once.
        places: dict[bytes, int] = {}
        for each in reservations:
            bucket_keys, rules = _packed(tuple(each.buckets))
            keys += bucket_keys
            asked += (each.ttl_us, places.setdefault(rules, len(places) + 1), *each.amounts)
        settled, answers = await self._redis.run(
            self._exchange, keys, resolved, _encode(used), _encode(asked), *places
        )
        return [each == 1 for each in settled], [
            _decision(each.buckets, answer) for each, answer in zip(reservations, answers, strict=True)
        ]

    async def close(self) -> None:
        await self._redis.close()


def _record_key(organization_id: str, reservation_id: str) -> str:
    return f"{_records_of(organization_id)}{reservation_id}"


@lru_cache(maxsize=10_000)
def _records_of(organization_id: str) -> str:
    return f"{_PREFIX}{{{escaped(organization_id)}}}:r:"


@lru_cache(maxsize=10_000)
def _packed(buckets: tuple[Bucket, ...]) -> tuple[tuple[str, ...], bytes]:
    """The keys of the buckets, and their rules as the scripts have them."""
    rules = [
        (
            bucket.shape.kind,
            bucket.shape.amount,
            bucket.shape.interval_us,
            bucket.metric,
            bucket.capacity,
            bucket.shadow,
            bucket.limit_id,
        )
        for bucket in buckets
    ]
    return tuple(_PREFIX + bucket.key for bucket in buckets), _encode(rules)


def _unpacked(rules: bytes) -> list[Bucket]:
    """The buckets as far as an answer needs them."""
    return [
        Bucket("", limit_id, Metric(metric), Shape(Kind(kind), amount, interval_us), capacity, shadow)
        for kind, amount, interval_us, metric, capacity, shadow, limit_id in _decode_rules(rules)
    ]


def _decision(buckets: Sequence[Bucket], answer: bytes | list[bytes]) -> Decision:
    if isinstance(answer, list):
        rules, first_answer = answer
        return Decision(True, _standings(_unpacked(rules), first_answer))
    standings = _standings(buckets, answer)
    return Decision(all(not each.exceeded or each.shadow for each in standings), standings)


def _standings(buckets: Sequence[Bucket], answer: bytes) -> tuple[Standing, ...]:
    rows = zip(buckets, _ROW.iter_unpack(answer), strict=True)
    return tuple([_standing(bucket, row) for bucket, row in rows])


def _standing(bucket: Bucket, row: tuple[int, ...]) -> Standing:
    # The outlook's meaning depends on the kind: a part of a unit, or when the bucket is empty.
    exceeded, wanted, units, outlook, fits_after = row
    shape, capacity, reset_after = bucket.shape, bucket.capacity, outlook
    after: int | None = 0
    if shape.kind == Kind.TOKEN_BUCKET:
        fill = units * shape.interval_us - outlook
        reset_after = reset_after_us(fill, shape.amount)
        if exceeded:
            after = fits_after_us(fill, shape.amount, shape.interval_us, wanted, capacity)
    elif exceeded:
        after = fits_after if wanted <= capacity else None
    return Standing(
        bucket.limit_id,
        bucket.metric,
        capacity,
        bucket.shadow,
        exceeded == 1,
        capacity - units if units < capacity else 0,
        reset_after,
        after,
    )
