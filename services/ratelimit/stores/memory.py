"""Buckets and reservations in this process's memory; gone with it, and not shared with others."""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Literal

from msgspec import Struct

from services.ratelimit.bucket import Bucket, Kind, Standing
from services.ratelimit.limit import NOTHING, Amounts
from services.ratelimit.sliding_window import Slots
from services.ratelimit.store import REMEMBERED_US, Decision, Reservation, Resolution
from services.ratelimit.stores.expiry import ExpiryWheel
from services.ratelimit.token_bucket import Fill

# A bucket outlives its emptiness, so that the stamps of its takes never repeat.
_LINGER_US = 1_000_000

_State = Fill | Slots
_Id = tuple[str, str]


class _Record(Struct, gc=False):
    decision: Decision
    takes: Sequence[tuple[Bucket, int, int]]
    """Bucket, amount, and the take's stamp."""
    expire_us: int
    state: Literal["open", "settled", "released"] = "open"


class MemoryBucketStore:
    """Implements BucketStore. `clock` gives microseconds that never run backwards.

    Memory is proportional to the buckets that are not full and the reservations that are remembered: both are dropped
    in constant amortised time while calls are served.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._buckets: dict[str, _State] = {}
        self._records: dict[_Id, _Record] = {}
        self._idle: ExpiryWheel[str] = ExpiryWheel()
        self._expired: ExpiryWheel[_Id] = ExpiryWheel()

    def __len__(self) -> int:
        return len(self._buckets) + len(self._records)

    async def reserve(self, reservations: Sequence[Reservation]) -> list[Decision]:
        return (await self.exchange((), reservations))[1]

    async def settle(self, resolutions: Sequence[Resolution]) -> list[bool]:
        return (await self.exchange(resolutions, ()))[0]

    async def exchange(
        self, resolutions: Sequence[Resolution], reservations: Sequence[Reservation]
    ) -> tuple[list[bool], list[Decision]]:
        now_us = self._advance()
        settled = [self._settle(resolution, now_us) for resolution in resolutions]
        return settled, [self._reserve(reservation, now_us) for reservation in reservations]

    async def release(self, organization_id: str, reservation_id: str) -> bool:
        now_us = self._advance()
        record = self._record((organization_id, reservation_id), now_us)
        if record is not None and record.state == "open":
            self._resolve(record, NOTHING, now_us)
            record.state = "released"
        return record is not None and record.state == "released"

    async def renew(self, organization_id: str, reservation_id: str, ttl_us: int) -> bool:
        now_us = self._advance()
        record = self._record((organization_id, reservation_id), now_us)
        if record is None or record.state != "open":
            return False
        record.expire_us = now_us + ttl_us
        return True

    async def peek(self, buckets: Sequence[Bucket]) -> tuple[Standing, ...]:
        now_us = self._advance()
        standings = []
        for bucket in buckets:
            state = self._copy(bucket, now_us)
            standings.append(_standing(bucket, state, 0, state.fits(0, bucket.capacity)))
        return tuple(standings)

    async def close(self) -> None:
        self._buckets.clear()
        self._records.clear()

    def _reserve(self, reservation: Reservation, now_us: int) -> Decision:
        identity = (reservation.organization_id, reservation.reservation_id)
        if (known := self._record(identity, now_us)) is not None:
            return known.decision
        admitted, wanted, amounts = True, [], reservation.amounts
        for bucket in reservation.buckets:
            state, amount = self._state(bucket, now_us), amounts[bucket.metric - 1]
            fits = state.fits(amount, bucket.capacity)
            admitted = admitted and (fits or bucket.shadow)
            wanted.append((bucket, state, amount, fits))
        takes = []
        if admitted:
            takes = [(bucket, amount, state.take(amount)) for bucket, state, amount, fits in wanted if fits]
        decision = Decision(admitted, tuple([_standing(*each) for each in wanted]))
        if admitted and wanted:
            self._remember(identity, _Record(decision, takes, now_us + reservation.ttl_us), now_us)
        return decision

    def _settle(self, resolution: Resolution, now_us: int) -> bool:
        record = self._record((resolution.organization_id, resolution.reservation_id), now_us)
        if record is not None and record.state == "open":
            self._resolve(record, resolution.amounts, now_us)
            record.state = "settled"
        return record is not None and record.state == "settled"

    def _resolve(self, record: _Record, used: Amounts, now_us: int) -> None:
        for bucket, reserved, stamp in record.takes:
            missing = used[bucket.metric - 1] - reserved
            if missing > 0:
                self._unshaped_state(bucket, now_us).take(missing)
            elif missing < 0:
                self._unshaped_state(bucket, now_us).give_back(-missing, stamp)
        record.takes = ()
        record.expire_us = now_us + REMEMBERED_US

    def _record(self, identity: _Id, now_us: int) -> _Record | None:
        record = self._records.get(identity)
        return None if record is None or record.expire_us <= now_us else record

    def _remember(self, identity: _Id, record: _Record, now_us: int) -> None:
        if identity not in self._records:
            self._look_again(identity, record.expire_us, now_us)
        self._records[identity] = record

    def _look_again(self, identity: _Id, expire_us: int, now_us: int) -> None:
        # A resolved one is dropped long before the time that it was reserved for.
        self._expired.add(identity, min(expire_us, now_us + REMEMBERED_US))

    def _state(self, bucket: Bucket, now_us: int) -> _State:
        state = self._buckets.get(bucket.key)
        if state is None:
            return self._opened(bucket, now_us)
        state.advance(now_us)
        if state.shape is not bucket.shape:
            state.reshape(bucket.shape)
        return state

    def _unshaped_state(self, bucket: Bucket, now_us: int) -> _State:
        state = self._buckets.get(bucket.key)
        if state is None:
            return self._opened(bucket, now_us)
        state.advance(now_us)
        return state

    def _copy(self, bucket: Bucket, now_us: int) -> _State:
        """The bucket as it would be for a request; it keeps the rate at which it counts until there is one."""
        if bucket.key not in self._buckets:
            return _empty(bucket, now_us)
        state = copy(self._unshaped_state(bucket, now_us))
        state.reshape(bucket.shape)
        return state

    def _opened(self, bucket: Bucket, now_us: int) -> _State:
        state = self._buckets[bucket.key] = _empty(bucket, now_us)
        self._idle.add(bucket.key, now_us + _LINGER_US)
        return state

    def _advance(self) -> int:
        now_us = self._clock()
        for key in self._idle.due(now_us):
            state = self._buckets[key]
            idle_us = state.time_us + state.reset_after_us() + _LINGER_US
            if idle_us <= now_us:
                del self._buckets[key]
            else:
                self._idle.add(key, idle_us)
        for identity in self._expired.due(now_us):
            expire_us = self._records[identity].expire_us
            if expire_us <= now_us:
                del self._records[identity]
            else:
                self._look_again(identity, expire_us, now_us)
        return now_us


def _empty(bucket: Bucket, now_us: int) -> _State:
    return (Fill if bucket.shape.kind is Kind.TOKEN_BUCKET else Slots)(bucket.shape, now_us)


def _standing(bucket: Bucket, state: _State, amount: int, fits: bool) -> Standing:
    capacity, (units, reset_after_us) = bucket.capacity, state.outlook()
    return Standing(
        bucket.limit_id,
        bucket.metric,
        capacity,
        bucket.shadow,
        not fits,
        capacity - units if units < capacity else 0,
        reset_after_us,
        0 if fits else state.fits_after_us(amount, capacity),
    )
