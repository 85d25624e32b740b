"""The cache itself: which entry answers a question, and what is kept for how long."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from services._runtime.errors import GatewayError
from services.cache.entry import Answer, Entry
from services.cache.errors import NotInThisVersionError
from services.cache.key import key_of
from services.cache.question import Question, sharers
from services.cache.store import Address, EntryStore, Occupancy, Write, Written
from services.cache.tally import Counts, Tally


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long an answer is kept, and how large it may be."""

    default_ttl_ns: int
    max_ttl_ns: int
    max_entry_bytes: int


class Finding(Struct, frozen=True, gc=False):
    """The key that belongs to a question, and the entry that answers it, if any."""

    key: bytes
    entry: Entry | None


class AnswerCache:
    def __init__(self, store: EntryStore, secret: bytes, bounds: Bounds) -> None:
        self._store = store
        self._secret = secret
        self._bounds = bounds
        self.tally = Tally()

    async def lookup(self, questions: Sequence[Question], now_ns: int) -> list[Finding | GatewayError]:
        """What is known of each question, or why it can't be looked for; in order.

        :raises StoreUnavailableError: the store does not answer.
        """
        return (await self.exchange((), questions, now_ns))[1]

    async def store(self, answers: Sequence[Answer], now_ns: int) -> list[bool]:
        """Whether each was kept; one that is too large is not.

        :raises StoreUnavailableError: the store does not answer.
        """
        return (await self.exchange(answers, (), now_ns))[0]

    async def exchange(
        self, answers: Sequence[Answer], questions: Sequence[Question], now_ns: int
    ) -> tuple[list[bool], list[Finding | GatewayError]]:
        """Store, then look up."""
        self.tally.begin(len(answers), len(questions))
        fitting = [len(answer.value) <= self._bounds.max_entry_bytes for answer in answers]
        writes = [self._write(answer, now_ns) for answer, fits in zip(answers, fitting, strict=True) if fits]
        addresses = [self._address(question) for question in questions if not question.by_meaning]
        written, entries = await self._exchange(writes, addresses, now_ns)
        is_kept, known = iter(written.kept), zip(addresses, entries, strict=True)
        kept = [fits and next(is_kept) for fits in fitting]
        self.tally.stored(answers, kept)
        self.tally.evict(written.evicted)
        return kept, [
            _no_semantic_lookup() if question.by_meaning else self._judge(question, *next(known), now_ns)
            for question in questions
        ]

    async def forget(self, organization_id: str, key: bytes) -> None:
        await self._store.forget(Address(organization_id, key))

    async def forget_tag(self, organization_id: str, tag: str) -> None:
        await self._store.forget_tag(organization_id, tag)

    async def forget_organization(self, organization_id: str) -> None:
        await self._store.forget_organization(organization_id)

    def counts(self, organization_id: str | None) -> Counts:
        return self.tally.total if organization_id is None else self.tally.of(organization_id)

    def occupancy(self, organization_id: str | None) -> Occupancy | None:
        return self._store.occupancy(organization_id)

    def _address(self, question: Question) -> Address:
        circle = sharers(question.caller, question.scope)
        key = key_of(self._secret, circle, question.model, question.content)
        return Address(circle.organization_id, key)

    def _judge(self, question: Question, address: Address, entry: Entry | None, now_ns: int) -> Finding:
        if entry is None or _is_too_old(entry, question.max_age_ns, now_ns):
            self.tally.miss(address.organization_id)
            return Finding(address.key, None)
        self.tally.hit(address.organization_id, entry)
        return Finding(address.key, entry)

    def _write(self, answer: Answer, now_ns: int) -> Write:
        ttl_ns = self._bounds.default_ttl_ns if answer.ttl_ns is None else answer.ttl_ns
        expires_ns = now_ns + min(ttl_ns, self._bounds.max_ttl_ns)
        entry = Entry(answer.value, now_ns, expires_ns, answer.usage, answer.cost_nanos)
        return Write(Address(answer.organization_id, answer.key), entry, answer.tags)

    async def _exchange(
        self, writes: Sequence[Write], addresses: Sequence[Address], now_ns: int
    ) -> tuple[Written, Sequence[Entry | None]]:
        if not writes and not addresses:
            return Written((), {}), ()
        return await self._store.exchange(writes, addresses, now_ns)


def _is_too_old(entry: Entry, max_age_ns: int | None, now_ns: int) -> bool:
    return max_age_ns is not None and now_ns - entry.created_ns > max_age_ns


def _no_semantic_lookup() -> NotInThisVersionError:
    return NotInThisVersionError("lookup by meaning is not in this version; leave `semantic` out")
