"""The port to where entries are kept."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from services.cache.entry import Entry

# A tag that is invalidated is remembered while the organisation has entries; beyond this many, invalidating one more
# forgets the whole organisation, so that neither memory nor correctness is at risk.
MAX_FORGOTTEN_TAGS = 1000


class Address(Struct, frozen=True, gc=False):
    """Where an entry stands: a key means something only within its organisation."""

    organization_id: str
    key: bytes


class Write(Struct, frozen=True, gc=False):
    """`tags` are distinct."""

    address: Address
    entry: Entry
    tags: tuple[str, ...] = ()


class Written(Struct, frozen=True, gc=False):
    """Per write whether it was kept; and how many entries of which organisation had to go to make room."""

    kept: Sequence[bool]
    evicted: Mapping[str, int]


class Occupancy(Struct, frozen=True, gc=False):
    """What is kept, in bytes with all bookkeeping. Entries that nobody may read any more count until they are dropped."""

    entries: int
    bytes: int


class EntryStore(Protocol):
    """Entries by organisation and key.

    Nothing of one organisation is ever read, replaced or forgotten through another's address. A call with many items
    costs one round trip. Any method that waits raises StoreUnavailableError when the store does not answer in time; what
    it was asked to write or forget may then have happened or not.
    """

    async def read(self, addresses: Sequence[Address], now_ns: int) -> Sequence[Entry | None]:
        """The entries in the order asked for; None where there is none, or it expired by `now_ns`, or was forgotten."""
        ...

    async def write(self, writes: Sequence[Write], now_ns: int) -> Written:
        """Keep the entries, each in place of the one that stood at its address; of two for one address the last stays.

        An entry that could never fit is not kept, and what stood at its address stays.
        """
        ...

    async def exchange(
        self, writes: Sequence[Write], addresses: Sequence[Address], now_ns: int
    ) -> tuple[Written, Sequence[Entry | None]]:
        """Write, then read, in one round trip."""
        ...

    async def forget(self, address: Address) -> None:
        """No entry stands at `address` any more."""
        ...

    async def forget_tag(self, organization_id: str, tag: str) -> None:
        """Nothing that was written with `tag` before is ever read again. Takes the same time for any number of entries."""
        ...

    async def forget_organization(self, organization_id: str) -> None:
        """Nothing that the organisation wrote before is ever read again. Takes the same time for any number of entries."""
        ...

    def occupancy(self, organization_id: str | None) -> Occupancy | None:
        """What is kept for the organisation, or for all; None when the store can't tell."""
        ...

    async def close(self) -> None:
        """Give back what the store holds of the process; it is not used afterwards."""
        ...
