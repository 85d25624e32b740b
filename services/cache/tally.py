"""What happened since the process started, in all and by organisation."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.cache.entry import Answer, Entry

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# The organisations counted by themselves, the least recently seen forgotten first; the sum over all stays right.
MAX_ORGANIZATIONS = 10_000


@dataclass(slots=True)
class Counts:
    exact_hits: int = 0
    semantic_hits: int = 0
    misses: int = 0
    stores: int = 0
    refusals: int = 0
    evictions: int = 0
    saved_tokens: int = 0
    saved_cost_nanos: int = 0

    @property
    def hit_rate(self) -> float:
        hits = self.exact_hits + self.semantic_hits
        return hits / (hits + self.misses) if hits + self.misses else 0.0


class BatchSizes:
    """How many items the calls carried; `by_bound` has one place for each bound and one for all above."""

    def __init__(self) -> None:
        self.by_bound = [0] * (len(BATCH_SIZES) + 1)
        self.items = 0

    def add(self, size: int) -> None:
        self.by_bound[bisect_left(BATCH_SIZES, size)] += 1
        self.items += size


class Tally:
    def __init__(self) -> None:
        self.total = Counts()
        self.lookup_batches = BatchSizes()
        self.store_batches = BatchSizes()
        self._by_organization: OrderedDict[str, Counts] = OrderedDict()

    def of(self, organization_id: str) -> Counts:
        return self._by_organization.get(organization_id) or Counts()

    def begin(self, stores: int, lookups: int) -> None:
        """A call with so many of each; with none of a kind it is no call of that kind."""
        if stores:
            self.store_batches.add(stores)
        if lookups:
            self.lookup_batches.add(lookups)

    def hit(self, organization_id: str, entry: Entry) -> None:
        for counts in (self.total, self._own(organization_id)):
            counts.exact_hits += 1
            counts.saved_tokens += entry.usage.total_tokens
            counts.saved_cost_nanos += entry.cost_nanos

    def miss(self, organization_id: str) -> None:
        self.total.misses += 1
        self._own(organization_id).misses += 1

    def stored(self, answers: Sequence[Answer], kept: Sequence[bool]) -> None:
        for answer, is_kept in zip(answers, kept, strict=True):
            own = self._own(answer.organization_id)
            own.stores += is_kept
            own.refusals += not is_kept
        stored = sum(kept)
        self.total.stores += stored
        self.total.refusals += len(kept) - stored

    def evict(self, evicted: Mapping[str, int]) -> None:
        for organization_id, entries in evicted.items():
            self.total.evictions += entries
            self._own(organization_id).evictions += entries

    def _own(self, organization_id: str) -> Counts:
        counts = self._by_organization.get(organization_id)
        if counts is None:
            counts = self._by_organization[organization_id] = Counts()
            if len(self._by_organization) > MAX_ORGANIZATIONS:
                self._by_organization.popitem(last=False)
        else:
            self._by_organization.move_to_end(organization_id)
        return counts
