"""Which prompt prefixes were seen before, so that the second request with a marked prefix reads it from the cache."""

from collections import OrderedDict
from collections.abc import Sequence

from simulator.answer import Segment, segments_seed

_CAPACITY = 10_000


class PromptCache:
    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[int, None] = OrderedDict()

    def visit(self, model: str, segments: Sequence[Segment]) -> tuple[int, int]:
        """Returns (tokens read, tokens written): the longest marked prefix that is known is read, the rest written."""
        read = written = total = 0
        for position, segment in enumerate(segments):
            total += segment.tokens
            if segment.marked:
                if self._know(segments_seed(segments[: position + 1], model)):
                    read, written = total, 0
                else:
                    written = total - read
        return read, written

    def _know(self, prefix: int) -> bool:
        known = prefix in self._seen
        self._seen[prefix] = None
        self._seen.move_to_end(prefix)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return known
