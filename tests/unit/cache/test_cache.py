"""AnswerCache over the memory store: what is served, for how long, to whom, and what is counted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services._runtime.errors import Code
from services.cache.cache import AnswerCache, Bounds, Finding
from services.cache.entry import Answer, Usage
from services.cache.errors import NotInThisVersionError
from services.cache.key import KEY_BYTES
from services.cache.question import Caller, Question, Scope
from services.cache.store import Occupancy
from services.cache.stores.memory import MemoryEntryStore
from services.cache.tally import MAX_ORGANIZATIONS, Tally
from tests.unit.cache.entries import NOW, SECOND, entry
from tests.unit.cache.test_key import may_share

ALICE = Caller("org", "alice", "key-1")
BOUNDS = Bounds(default_ttl_ns=60 * SECOND, max_ttl_ns=600 * SECOND, max_entry_bytes=100)


@pytest.fixture
def cache() -> AnswerCache:
    return make_cache()


def make_cache(max_bytes: int = 10**8) -> AnswerCache:
    return AnswerCache(MemoryEntryStore(max_bytes, max_bytes), b"a secret of the test", BOUNDS)


def ask(caller: Caller = ALICE, scope: Scope = Scope.USER, content: bytes = b"why?", **more: Any) -> Question:
    return Question(caller, scope, "model", content, **more)


async def look(cache: AnswerCache, question: Question, now: int = NOW) -> Finding:
    (finding,) = await cache.lookup([question], now)
    assert isinstance(finding, Finding)
    return finding


async def keep(
    cache: AnswerCache, question: Question, value: bytes = b"because", now: int = NOW, **more: Any
) -> bool:
    missed = await look(cache, question, now)
    (kept,) = await cache.store([Answer(question.caller.organization_id, missed.key, value, **more)], now)
    return kept


async def test_a_miss_gives_the_key_under_which_the_answer_is_found_again(cache: AnswerCache) -> None:
    missed = await look(cache, ask())
    assert (missed.entry, len(missed.key)) == (None, KEY_BYTES)
    assert await keep(cache, ask())
    found = await look(cache, ask())
    assert found == Finding(missed.key, entry(b"because", ttl_seconds=60))


@pytest.mark.parametrize(("ttl_seconds", "lives_seconds"), [(None, 60), (5, 5), (600, 600), (10_000, 600)])
async def test_an_answer_lives_as_long_as_asked_by_default_a_while_and_never_longer_than_the_cap(
    cache: AnswerCache, ttl_seconds: int | None, lives_seconds: int
) -> None:
    await keep(cache, ask(), ttl_ns=None if ttl_seconds is None else ttl_seconds * SECOND)
    assert (await look(cache, ask(), NOW + lives_seconds * SECOND - 1)).entry is not None
    assert (await look(cache, ask(), NOW + lives_seconds * SECOND)).entry is None


async def test_an_answer_older_than_the_caller_accepts_is_a_miss_and_stays_for_others(
    cache: AnswerCache,
) -> None:
    await keep(cache, ask())
    later = NOW + 30 * SECOND
    assert (await look(cache, ask(max_age_ns=30 * SECOND - 1), later)).entry is None
    assert (await look(cache, ask(max_age_ns=30 * SECOND), later)).entry is not None
    assert (await look(cache, ask(), later)).entry is not None
    assert cache.counts(None).misses == 2


async def test_an_answer_larger_than_the_cap_is_not_kept_and_costs_its_batch_nothing(
    cache: AnswerCache,
) -> None:
    keys = [(await look(cache, ask(content=bytes([number])))).key for number in range(3)]
    values = [b"small", b"x" * 101, b"x" * 100]
    answers = [Answer("org", key, value) for key, value in zip(keys, values, strict=True)]
    assert await cache.store(answers, NOW) == [True, False, True]
    assert (cache.counts("org").stores, cache.counts("org").refusals) == (2, 1)


async def test_lookup_by_meaning_is_refused_alone_in_its_batch(cache: AnswerCache) -> None:
    await keep(cache, ask())
    refused, found = await cache.lookup([ask(by_meaning=True), ask()], NOW)
    assert isinstance(refused, NotInThisVersionError)
    assert (refused.code, refused.reason) == (Code.UNIMPLEMENTED, "NOT_IMPLEMENTED")
    assert isinstance(found, Finding)
    assert found.entry is not None


async def test_a_key_that_leaked_to_another_organisation_reads_and_writes_nothing(cache: AnswerCache) -> None:
    await keep(cache, ask(), b"mine")
    leaked = (await look(cache, ask())).key
    assert await cache.store([Answer("theirs", leaked, b"poison")], NOW) == [True]
    await cache.forget("theirs", leaked)
    await cache.forget_organization("theirs")
    found = (await look(cache, ask())).entry
    assert found is not None
    assert found.value == b"mine"


identities = st.builds(
    Caller, st.sampled_from(["a", "b"]), st.sampled_from(["", "u", "v"]), st.sampled_from(["", "k", "l"])
)
Request = tuple[Caller, Scope, bytes]
requests = st.tuples(identities, st.sampled_from(Scope), st.sampled_from([b"1", b"2"]))


@given(st.lists(requests, min_size=2, max_size=12))
async def test_no_caller_is_ever_served_what_somebody_outside_its_scope_stored(asked: list[Request]) -> None:
    cache = make_cache()
    stored: list[Request] = []
    for caller, scope, content in asked:
        finding = await look(cache, ask(caller, scope, content))
        own = [
            place
            for place, (other, other_scope, other_content) in enumerate(stored)
            if (scope, content) == (other_scope, other_content) and may_share(caller, other, scope)
        ]
        assert (finding.entry and finding.entry.value) == (str(own[-1]).encode() if own else None)
        value = str(len(stored)).encode()
        await cache.store([Answer(caller.organization_id, finding.key, value)], NOW)
        stored.append((caller, scope, content))


async def test_hits_misses_stores_and_what_was_saved_are_counted_by_organisation(cache: AnswerCache) -> None:
    usage = Usage(input_tokens=100, output_tokens=20, cache_read_input_tokens=90, reasoning_output_tokens=15)
    await keep(cache, ask(), usage=usage, cost_nanos=1234)
    for _ in range(3):
        await look(cache, ask())
    await look(cache, ask(Caller("other", "alice")))
    counts = cache.counts("org")
    assert (counts.exact_hits, counts.misses, counts.stores) == (3, 1, 1)
    assert (counts.saved_tokens, counts.saved_cost_nanos) == (360, 3702)
    assert (cache.counts("other").exact_hits, cache.counts("other").misses) == (0, 1)
    assert cache.counts(None).hit_rate == 3 / 5
    assert cache.counts("never seen").hit_rate == 0.0


async def test_evictions_are_counted_for_the_organisation_that_lost_the_entry() -> None:
    cache = make_cache(max_bytes=8000)
    for number in range(10):
        await keep(cache, ask(content=bytes([number])))
    kept = cache.occupancy("org")
    assert kept is not None
    assert cache.counts("org").evictions == cache.counts(None).evictions == 10 - kept.entries > 0


async def test_forgetting_by_key_tag_and_organisation(cache: AnswerCache) -> None:
    questions = [ask(content=bytes([number])) for number in range(3)]
    for question, tags in zip(questions, [(), ("t",), ()], strict=True):
        await keep(cache, question, tags=tags)
    await cache.forget("org", (await look(cache, questions[0])).key)
    await cache.forget_tag("org", "t")
    assert [(await look(cache, question)).entry is None for question in questions] == [True, True, False]
    await cache.forget_organization("org")
    assert (await look(cache, questions[2])).entry is None
    assert cache.occupancy("org") == Occupancy(0, 0)


def test_counts_by_organisation_are_bounded_and_the_sum_stays_right() -> None:
    tally = Tally()
    for number in range(MAX_ORGANIZATIONS + 5):
        tally.miss(f"org-{number}")
    assert tally.total.misses == MAX_ORGANIZATIONS + 5
    assert tally.of("org-4").misses == 0
    assert tally.of("org-5").misses == 1
