"""The book of limits: the file's and the store's as one, and what other replicas change."""

from collections.abc import Sequence

import pytest
from structlog.testing import CapturingLogger

from services.ratelimit.book import LimitBook
from services.ratelimit.errors import (
    InvalidPageTokenError,
    LimitNotFoundError,
    ReadOnlyLimitError,
    StoreUnavailableError,
)
from services.ratelimit.limit import Limit, Metric, Source, TokenBucket
from services.ratelimit.stores.memory_limits import MemoryLimitStore


def limit(limit_id: str, burst: int = 5, source: Source = Source.API) -> Limit:
    return Limit(limit_id, Metric.REQUESTS, TokenBucket(1, 1_000_000, burst), source=source)


def ids(limits: Sequence[Limit]) -> list[str]:
    return [each.limit_id for each in limits]


class AwayStore(MemoryLimitStore):
    """A store that can be away."""

    away = False

    async def version(self) -> int:
        if self.away:
            raise StoreUnavailableError("away")
        return await super().version()


async def test_before_the_store_was_read_nothing_is_admitted() -> None:
    store = AwayStore()
    store.away = True
    book = LimitBook(store, [limit("file")])
    await book.refresh_or_keep(CapturingLogger())
    with pytest.raises(StoreUnavailableError):
        _ = book.table
    store.away = False
    await book.refresh_or_keep(CapturingLogger())
    assert ids(book.table.limits) == ["file"]


async def test_while_the_store_is_away_the_limits_stay_and_it_is_said_once() -> None:
    store, log = AwayStore(), CapturingLogger()
    book = LimitBook(store, [])
    await book.put(limit("a"))
    store.away = True
    await book.refresh_or_keep(log)
    await book.refresh_or_keep(log)
    assert ids(book.table.limits) == ["a"]
    assert len(log.calls) == 1


async def test_a_declared_limit_hides_a_stored_one_and_can_not_be_changed() -> None:
    store = MemoryLimitStore()
    await store.put(limit("both", burst=99))
    book = LimitBook(store, [limit("both", burst=1, source=Source.FILE)])
    assert (await book.get("both")).capacity == 1
    with pytest.raises(ReadOnlyLimitError):
        await book.put(limit("both"))
    with pytest.raises(ReadOnlyLimitError):
        await book.delete("both", "")


async def test_ones_own_change_binds_at_once() -> None:
    book = LimitBook(MemoryLimitStore(), [])
    await book.put(limit("a"))
    assert ids(book.table.limits) == ["a"]
    await book.delete("a", "")
    assert ids(book.table.limits) == []
    with pytest.raises(LimitNotFoundError):
        await book.get("a")


async def test_another_replicas_change_is_seen_at_the_next_refresh() -> None:
    store = MemoryLimitStore()
    mine, other = LimitBook(store, []), LimitBook(store, [])
    await mine.refresh()
    await other.put(limit("a"))
    await mine.refresh()
    assert ids(mine.table.limits) == ["a"]


async def test_a_store_that_lost_everything_is_believed() -> None:
    store = MemoryLimitStore()
    book = LimitBook(store, [])
    await book.put(limit("a"))
    store.__init__()  # type: ignore[misc] # as a Redis that was restarted
    await book.refresh()
    assert ids(book.table.limits) == []


async def test_pages_follow_on_one_another_whatever_is_changed_between() -> None:
    book = LimitBook(MemoryLimitStore(), [limit("b", source=Source.FILE)])
    for limit_id in ("d", "a", "c"):
        await book.put(limit(limit_id))
    page, token = await book.page(2, "")
    assert ids(page) == ["a", "b"]
    await book.delete("a", "")
    page, token = await book.page(2, token)
    assert (ids(page), token) == (["c", "d"], "")


async def test_a_page_as_long_as_the_rest_is_the_last() -> None:
    book = LimitBook(MemoryLimitStore(), [limit("a"), limit("b")])
    assert (await book.page(2, ""))[1] == ""
    with pytest.raises(InvalidPageTokenError):
        await book.page(2, "b")
