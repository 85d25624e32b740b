"""Entries in this process's memory: bounded in bytes, the least recently used forgotten first."""

from collections import Counter
from collections.abc import Iterable, Sequence

from services.cache.entry import Entry
from services.cache.store import MAX_FORGOTTEN_TAGS, Address, Occupancy, Write, Written
from services.cache.stores.shelves import Node, Shelves

# What one call clears of what others left, so that no call pays for all of it.
_CLEARED_PER_CALL = 8


class MemoryEntryStore:
    """An EntryStore of one process; two processes share nothing.

    `max_bytes` holds for all entries with their bookkeeping, `max_organization_bytes` for one organisation's. A write that
    needs room takes it from its own organisation's least recently used entries while that is at its cap, then from the
    least recently used of all. With the second cap below the first, no organisation can push out all others, however
    much it writes.

    An entry that expired, or was forgotten with its tag, leaves when it is next read or becomes least recently used; a
    forgotten organisation's entries leave a few per call, and first of all when room is needed.
    """

    def __init__(self, max_bytes: int, max_organization_bytes: int) -> None:
        self._shelves = Shelves(max_bytes, max_organization_bytes)
        self._evicted: Counter[str] = Counter()

    async def read(self, addresses: Sequence[Address], now_ns: int) -> Sequence[Entry | None]:
        return (await self.exchange((), addresses, now_ns))[1]

    async def write(self, writes: Sequence[Write], now_ns: int) -> Written:
        return (await self.exchange(writes, (), now_ns))[0]

    async def exchange(
        self, writes: Sequence[Write], addresses: Sequence[Address], now_ns: int
    ) -> tuple[Written, Sequence[Entry | None]]:
        self._shelves.clear_some(now_ns, _CLEARED_PER_CALL)
        kept = [self._keep(write, now_ns) for write in writes]
        evicted = self._evicted
        if writes and evicted:
            self._evicted = Counter()
        return Written(kept, evicted if writes else {}), [
            self._find(address, now_ns) for address in addresses
        ]

    async def forget(self, address: Address) -> None:
        node = self._shelves.node(address)
        if node is not None:
            self._shelves.remove(node)

    async def forget_tag(self, organization_id: str, tag: str) -> None:
        shelf = self._shelves.shelf(organization_id)
        if shelf is None:
            return
        if len(shelf.marks) >= MAX_FORGOTTEN_TAGS and tag not in shelf.marks:
            self._shelves.discard(shelf)
        else:
            self._count(self._shelves.mark(shelf, tag))

    async def forget_organization(self, organization_id: str) -> None:
        shelf = self._shelves.shelf(organization_id)
        if shelf is not None:
            self._shelves.discard(shelf)

    def occupancy(self, organization_id: str | None) -> Occupancy:
        if organization_id is None:
            return Occupancy(len(self._shelves), self._shelves.bytes)
        shelf = self._shelves.shelf(organization_id)
        return Occupancy(0, 0) if shelf is None else Occupancy(len(shelf.nodes), shelf.bytes)

    async def close(self) -> None:
        """There is nothing to give back: the memory goes with the store."""

    def _find(self, address: Address, now_ns: int) -> Entry | None:
        node = self._shelves.node(address)
        if node is None:
            return None
        if node.is_gone(now_ns):
            self._shelves.remove(node)
            return None
        self._shelves.touch(node)
        return node.entry

    def _keep(self, write: Write, now_ns: int) -> bool:
        evicted = self._shelves.put(write)
        if evicted:
            self._count(node for node in evicted if not node.is_gone(now_ns))
        return evicted is not None

    def _count(self, evicted: Iterable[Node]) -> None:
        self._evicted.update(node.shelf.organization_id for node in evicted)
