"""What arrives while a commit runs is committed together by the next one."""

import asyncio
from collections.abc import Sequence

import pytest

from services.billing.errors import StoreUnavailableError
from services.billing.stores.sql.group_commit import GroupCommit


class Disk:
    """Commits numbers as their doubles; a commit ends when the test lets it."""

    def __init__(self) -> None:
        self.commits: list[list[int]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.poison: int | None = None
        self.is_down = False

    async def commit(self, numbers: Sequence[int]) -> Sequence[int]:
        self.commits.append(list(numbers))
        await self.may_end.wait()
        if self.is_down:
            raise StoreUnavailableError("down")
        if self.poison in numbers:
            raise ValueError("poisoned")
        return [2 * number for number in numbers]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_calls_of_one_moment_share_a_commit_and_get_their_own_results() -> None:
    disk = Disk()
    group: GroupCommit[int, int] = GroupCommit(disk.commit)
    results = await asyncio.gather(group.submit([1, 2]), group.submit([3]), group.submit([]))
    assert list(results) == [[2, 4], [6], []]
    assert disk.commits == [[1, 2, 3]]


async def test_calls_during_a_commit_wait_for_the_next_one() -> None:
    disk = Disk()
    group: GroupCommit[int, int] = GroupCommit(disk.commit)
    disk.may_end.clear()
    calls = [asyncio.create_task(group.submit([0]))]
    await settle()
    calls += [asyncio.create_task(group.submit([n])) for n in (1, 2, 3)]
    await settle()
    assert disk.commits == [[0]]
    disk.may_end.set()
    assert await asyncio.gather(*calls) == [[0], [2], [4], [6]]
    assert disk.commits == [[0], [1, 2, 3]]


async def test_a_call_is_never_spread_over_two_commits() -> None:
    disk = Disk()
    group: GroupCommit[int, int] = GroupCommit(disk.commit)
    await asyncio.gather(*(group.submit([n] * 600) for n in range(3)), group.submit([9] * 3000))
    assert [len(commit) for commit in disk.commits] == [600, 600, 600, 3000]


async def test_one_call_that_can_never_be_committed_fails_alone() -> None:
    disk = Disk()
    disk.poison = 2
    group: GroupCommit[int, int] = GroupCommit(disk.commit)
    results = await asyncio.gather(*(group.submit([n]) for n in (1, 2, 3)), return_exceptions=True)
    assert [results[0], results[2]] == [[2], [6]]
    assert isinstance(results[1], ValueError)


async def test_a_store_that_is_down_is_asked_once_for_all() -> None:
    disk = Disk()
    disk.is_down = True
    group: GroupCommit[int, int] = GroupCommit(disk.commit)
    results = await asyncio.gather(group.submit([1]), group.submit([2]), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailableError] * 2
    assert disk.commits == [[1, 2]]
    disk.is_down = False
    assert await group.submit([1]) == [2]


async def test_a_caller_that_goes_away_is_committed_and_disturbs_nobody() -> None:
    disk = Disk()
    disk.may_end.clear()
    group: GroupCommit[int, int] = GroupCommit(disk.commit)
    leaving, staying = asyncio.create_task(group.submit([1])), asyncio.create_task(group.submit([2]))
    await settle()
    leaving.cancel()
    await settle()
    disk.may_end.set()
    assert await staying == [4]
    assert disk.commits == [[1, 2]]
    assert leaving.cancelled()


async def test_closing_commits_what_was_submitted_and_takes_no_more() -> None:
    disk = Disk()
    disk.may_end.clear()
    group: GroupCommit[int, int] = GroupCommit(disk.commit)
    call = asyncio.create_task(group.submit([1]))
    await settle()
    closing = asyncio.create_task(group.close())
    await settle()
    with pytest.raises(StoreUnavailableError):
        await group.submit([2])
    disk.may_end.set()
    await closing
    assert await call == [2]
