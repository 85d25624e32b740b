"""Group commit: what arrives while a transaction runs is committed together by the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.billing.errors import StoreUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MAX_ITEMS = 1024


@dataclass(frozen=True, slots=True)
class _Submission(Generic[Item, Result]):
    items: Sequence[Item]
    done: "asyncio.Future[Sequence[Result]]"


class GroupCommit(Generic[Item, Result]):
    """`commit` makes many items durable at once and returns their results in order.

    The items of one call are never spread over two commits. When a commit of several calls fails, each call is tried by
    itself, so that it can fail only for its own sake.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._commit = commit
        self._waiting: list[_Submission[Item, Result]] = []
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, items: Sequence[Item]) -> Sequence[Result]:
        """:raises StoreUnavailableError: the process is ending. Also whatever `commit` raises."""
        if self._closed:
            raise StoreUnavailableError("the service is stopping")
        submission: _Submission[Item, Result] = _Submission(items, asyncio.get_running_loop().create_future())
        self._waiting.append(submission)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="group-commit")
        return await submission.done

    async def close(self) -> None:
        """Commit what was submitted, and take no more."""
        self._closed = True
        if self._worker is not None:
            await self._worker

    async def _work(self) -> None:
        # Calls that arrived in one turn of the loop are committed together.
        await asyncio.sleep(0)
        try:
            while self._waiting:
                await self._commit_together(self._take())
        finally:
            self._worker = None

    def _take(self) -> list[_Submission[Item, Result]]:
        taken, count = 0, 0
        while taken < len(self._waiting) and (
            taken == 0 or count + len(self._waiting[taken].items) <= _MAX_ITEMS
        ):
            count += len(self._waiting[taken].items)
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    async def _commit_together(self, batch: list[_Submission[Item, Result]]) -> None:
        try:
            results = await self._commit([item for submission in batch for item in submission.items])
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait for it
            await self._commit_apart(batch, error)
            return
        position = 0
        for submission in batch:
            _resolve(submission, results[position : position + len(submission.items)])
            position += len(submission.items)

    async def _commit_apart(self, batch: list[_Submission[Item, Result]], error: Exception) -> None:
        if len(batch) == 1 or isinstance(error, StoreUnavailableError):
            for submission in batch:
                with suppress(asyncio.InvalidStateError):
                    submission.done.set_exception(error)
            return
        for submission in batch:
            await self._commit_together([submission])


def _resolve(submission: _Submission[Item, Result], results: Sequence[Result]) -> None:
    # A caller that went away has cancelled its future; what it asked for is done all the same.
    if not submission.done.done():
        submission.done.set_result(results)
