"""Entries by organisation with one order of use over all of them, counted to the byte and held below two caps."""

import sys
from collections import OrderedDict
from itertools import islice

from services.cache.store import Address, Write

# What CPython takes for an entry beside its value and tags, for an organisation, and for the mark of a forgotten tag: as
# a test measures it, rounded up.
ENTRY_OVERHEAD_BYTES = 1024
SHELF_OVERHEAD_BYTES = 1024
MARK_OVERHEAD_BYTES = 256


class Node:
    """An entry in its place; `generation` is that of its shelf when it was written."""

    __slots__ = ("bytes", "entry", "generation", "key", "shelf", "tags")

    def __init__(self, write: Write, shelf: "Shelf", size: int) -> None:
        self.key = write.address.key
        self.entry = write.entry
        self.tags = write.tags
        self.shelf = shelf
        self.generation = shelf.generation
        self.bytes = size

    def is_gone(self, now_ns: int) -> bool:
        """Whether it expired, or was forgotten with one of its tags."""
        if self.entry.expires_ns <= now_ns:
            return True
        marks = self.shelf.marks
        return bool(marks) and any(marks.get(tag, 0) > self.generation for tag in self.tags)


class Shelf:
    """One organisation's entries, least recently used first; `marks` says at which generation a tag was forgotten."""

    __slots__ = ("bytes", "generation", "marks", "nodes", "organization_id")

    def __init__(self, organization_id: str) -> None:
        self.organization_id = organization_id
        self.nodes: OrderedDict[bytes, Node] = OrderedDict()
        self.marks: dict[str, int] = {}
        self.generation = 0
        self.bytes = 0


class Shelves:
    """`bytes` is what all shelves take, those included that were discarded and are not yet cleared."""

    def __init__(self, max_bytes: int, max_shelf_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_shelf_bytes = min(max_bytes, max_shelf_bytes)
        self._live: dict[str, Shelf] = {}
        self._discarded: dict[Shelf, None] = {}
        self._recency: OrderedDict[Node, None] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._recency) - sum(len(shelf.nodes) for shelf in self._discarded)

    def shelf(self, organization_id: str) -> Shelf | None:
        return self._live.get(organization_id)

    def node(self, address: Address) -> Node | None:
        shelf = self._live.get(address.organization_id)
        return None if shelf is None else shelf.nodes.get(address.key)

    def touch(self, node: Node) -> None:
        node.shelf.nodes.move_to_end(node.key)
        self._recency.move_to_end(node)

    def put(self, write: Write) -> list[Node] | None:
        """Place an entry: the nodes that had to go for it, or None when it could never fit."""
        organization_id, size = write.address.organization_id, entry_bytes(write)
        if shelf_bytes(organization_id) + size > self._max_shelf_bytes:
            return None
        shelf = self._opened(organization_id)
        if (old := shelf.nodes.get(write.address.key)) is not None:
            self._take(old)
        evicted = self._make_room(shelf, size)
        node = Node(write, shelf, size)
        shelf.nodes[node.key] = node
        self._recency[node] = None
        self._charge(shelf, size)
        return evicted

    def mark(self, shelf: Shelf, tag: str) -> list[Node]:
        """Everything on the shelf with the tag is gone from now on; the nodes that had to go for the mark."""
        shelf.generation += 1
        added = 0 if tag in shelf.marks else mark_bytes(tag)
        evicted = self._make_room(shelf, added)
        if shelf.nodes:
            shelf.marks[tag] = shelf.generation
            self._charge(shelf, added)
        self._close_if_empty(shelf)
        return evicted

    def remove(self, node: Node) -> None:
        self._take(node)
        self._close_if_empty(node.shelf)

    def discard(self, shelf: Shelf) -> None:
        """The shelf's entries can't be found any more; the room is regained by `clear_some`, or when it is needed."""
        del self._live[shelf.organization_id]
        self._discarded[shelf] = None

    def clear_some(self, now_ns: int, count: int) -> None:
        """Drop up to `count` discarded nodes, and those of the `count` least recently used that are gone."""
        for _ in range(count):
            if not self._discarded:
                break
            self._take_oldest()
        for node in [node for node in islice(self._recency, count) if node.is_gone(now_ns)]:
            self.remove(node)

    def _opened(self, organization_id: str) -> Shelf:
        shelf = self._live.get(organization_id)
        if shelf is None:
            shelf = self._live[organization_id] = Shelf(organization_id)
            self._charge(shelf, shelf_bytes(organization_id))
        return shelf

    def _make_room(self, shelf: Shelf, added: int) -> list[Node]:
        evicted = []
        while shelf.nodes and shelf.bytes + added > self._max_shelf_bytes:
            evicted.append(next(iter(shelf.nodes.values())))
            self._take(evicted[-1])
        while self._recency and self.bytes + added > self._max_bytes:
            if (node := self._take_oldest(keep=shelf)) is not None:
                evicted.append(node)
        return evicted

    def _take_oldest(self, keep: Shelf | None = None) -> Node | None:
        """Take the node that is missed least; None when it was one of a discarded shelf."""
        discarded = next(iter(self._discarded), None)
        node = next(iter(self._recency if discarded is None else discarded.nodes.values()))
        self._take(node)
        if node.shelf is not keep:
            self._close_if_empty(node.shelf)
        return node if discarded is None else None

    def _take(self, node: Node) -> None:
        shelf = node.shelf
        del shelf.nodes[node.key], self._recency[node]
        self._charge(shelf, -node.bytes)
        if not shelf.nodes:
            self._charge(shelf, -sum(mark_bytes(tag) for tag in shelf.marks))
            shelf.marks.clear()

    def _close_if_empty(self, shelf: Shelf) -> None:
        if shelf.nodes:
            return
        self._charge(shelf, -shelf.bytes)
        if shelf in self._discarded:
            del self._discarded[shelf]
        else:
            del self._live[shelf.organization_id]

    def _charge(self, shelf: Shelf, added: int) -> None:
        shelf.bytes += added
        self.bytes += added


def entry_bytes(write: Write) -> int:
    return ENTRY_OVERHEAD_BYTES + len(write.entry.value) + sum(map(sys.getsizeof, write.tags))


def shelf_bytes(organization_id: str) -> int:
    return SHELF_OVERHEAD_BYTES + sys.getsizeof(organization_id)


def mark_bytes(tag: str) -> int:
    return MARK_OVERHEAD_BYTES + sys.getsizeof(tag)
