"""The ports: where buckets and reservations are counted, and where the API's limits are kept."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from services.ratelimit.bucket import Bucket, Standing
from services.ratelimit.limit import Amounts, Limit


class Reservation(Struct, frozen=True, gc=False):
    """A request for room in every one of `buckets`, each of another limit."""

    organization_id: str
    reservation_id: str
    amounts: Amounts
    buckets: Sequence[Bucket]
    ttl_us: int


class Decision(Struct, frozen=True, gc=False):
    """`admitted`: room was taken in all buckets; else in none. Standings are in the order of the buckets."""

    admitted: bool
    standings: tuple[Standing, ...]


class Resolution(Struct, frozen=True, gc=False):
    """The end of a reservation with what was really used."""

    organization_id: str
    reservation_id: str
    amounts: Amounts


class BucketStore(Protocol):
    """Counts. Each item of a batch is decided by itself, in order, atomically, on the store's own clock.

    A reservation is known by organisation and id. It is open until it is settled, released, or `ttl_us` have passed;
    what an expired one took stays taken. A resolved one is remembered for REMEMBERED_US, so that retries are answered
    alike.

    Every method raises StoreUnavailableError when the store does not answer in time.
    """

    async def reserve(self, reservations: Sequence[Reservation]) -> list[Decision]:
        """Take each reservation's amounts from all its buckets, or from none.

        A bucket of a shadow limit never refuses; when the amount does not fit, it is left alone. An id that is open
        or remembered answers with the decision that was made first, and takes nothing. A refused one is not remembered.
        """

    async def settle(self, resolutions: Sequence[Resolution]) -> list[bool]:
        """Replace what was reserved by what was used, in every bucket from which the reservation took.

        What was too much goes back to the time from which it was taken; what is missing is taken now, even when it
        does not fit. True: it is settled, by this call or before. False: unknown, expired, or released.
        """

    async def exchange(
        self, resolutions: Sequence[Resolution], reservations: Sequence[Reservation]
    ) -> tuple[list[bool], list[Decision]]:
        """Settle, then reserve, in one round trip."""

    async def release(self, organization_id: str, reservation_id: str) -> bool:
        """Settle with nothing. True: it is released, by this call or before. False: unknown, expired, or settled."""

    async def renew(self, organization_id: str, reservation_id: str, ttl_us: int) -> bool:
        """Let an open reservation live for `ttl_us` from now on. False: it is not open."""

    async def peek(self, buckets: Sequence[Bucket]) -> tuple[Standing, ...]:
        """How the buckets stand; `exceeded` when not even a request for nothing fits."""

    async def close(self) -> None:
        """Let go of connections."""


REMEMBERED_US = 60_000_000


class LimitStore(Protocol):
    """Keeps the limits that the API created, the same for every replica.

    Every method raises StoreUnavailableError when the store does not answer in time.
    """

    async def version(self) -> int:
        """Grows with every change of any limit; cheap."""

    async def read(self) -> tuple[int, tuple[Limit, ...]]:
        """All limits, and the version that they are."""

    async def put(self, limit: Limit) -> Limit:
        """Create or replace; the limit with its new etag and its generation.

        :raises EtagMismatchError: `limit.etag` is neither empty nor the current one.
        """

    async def delete(self, limit_id: str, etag: str) -> None:
        """Remove the limit and, with its generation, all that it counted.

        :raises LimitNotFoundError: there is none of that id.
        :raises EtagMismatchError: `etag` is neither empty nor the current one.
        """
