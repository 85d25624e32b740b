"""The book of limits: those of the configuration file and those of the API, as one."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from services._runtime.errors import FieldViolation
from services.ratelimit.binding import LimitTable
from services.ratelimit.errors import (
    InvalidPageTokenError,
    LimitNotFoundError,
    ReadOnlyLimitError,
    StoreUnavailableError,
)
from services.ratelimit.limit import Limit
from services.ratelimit.store import LimitStore

_PAGE_SIZE = 100


class LimitBook:
    """What `table` holds binds requests; another replica's change reaches it with `follow` within its interval.

    A limit that the file declares hides one of the same id in the store.
    """

    def __init__(self, store: LimitStore, declared: Iterable[Limit]) -> None:
        self._store = store
        self._declared = {limit.limit_id: limit for limit in declared}
        self._version = -1
        self._reading = asyncio.Lock()
        self._answering = True
        self._table: LimitTable | None = None

    @property
    def table(self) -> LimitTable:
        """The limits as they were last seen.

        :raises StoreUnavailableError: they have never been: admitting by those of the file alone could admit too much.
        """
        if self._table is None:
            raise StoreUnavailableError("the limits have not been read yet")
        return self._table

    async def refresh(self) -> None:
        """Read the store's limits when they have changed.

        :raises StoreUnavailableError: the store does not answer.
        """
        if await self._store.version() != self._version:
            await self._read()

    async def follow(self, interval_seconds: float, log: Any) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(interval_seconds)
            await self.refresh_or_keep(log)

    async def refresh_or_keep(self, log: Any) -> None:
        """Refresh; while the store does not answer, the limits stay as they were last seen."""
        try:
            await self.refresh()
        except StoreUnavailableError as error:
            if self._answering:
                log.warning("limits are not refreshed", error=error.message)
            self._answering = False
        else:
            self._answering = True

    async def get(self, limit_id: str) -> Limit:
        await self.refresh()
        found = next((limit for limit in self.table.limits if limit.limit_id == limit_id), None)
        if found is None:
            raise LimitNotFoundError(f"there is no limit {limit_id}")
        return found

    async def page(
        self, size: int, token: str, wanted: Callable[[Limit], bool] = lambda _: True
    ) -> tuple[tuple[Limit, ...], str]:
        """At most `size` (0: 100) limits that are wanted after those of the page that gave `token`, and the next page's token."""
        after = _read_token(token) if token else ""
        await self.refresh()
        size = size or _PAGE_SIZE
        rest = [limit for limit in self.table.limits if limit.limit_id > after and wanted(limit)]
        page = tuple(rest[:size])
        return page, _write_token(page[-1].limit_id) if len(rest) > size else ""

    async def put(self, limit: Limit) -> Limit:
        self._refuse_declared(limit.limit_id)
        stored = await self._store.put(limit)
        await self._read()
        return stored

    async def delete(self, limit_id: str, etag: str) -> None:
        self._refuse_declared(limit_id)
        await self._store.delete(limit_id, etag)
        await self._read()

    async def _read(self) -> None:
        # One at a time: what was read later is what stays.
        async with self._reading:
            self._version, limits = await self._store.read()
            kept = {limit.limit_id: limit for limit in limits}
            self._table = LimitTable((kept | self._declared).values())

    def _refuse_declared(self, limit_id: str) -> None:
        if limit_id in self._declared:
            raise ReadOnlyLimitError(
                f"the configuration file declares limit {limit_id}: change it there, or choose another limit_id"
            )


def _write_token(limit_id: str) -> str:
    return base64.urlsafe_b64encode(b"1:" + limit_id.encode()).decode().rstrip("=")


def _read_token(token: str) -> str:
    try:
        padded = token + "=" * (-len(token) % 4)
        kind, _, limit_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError):
        kind, limit_id = "", ""
    if kind != "1" or not limit_id:
        text = "not a token that ListLimits returned; begin again without one"
        raise InvalidPageTokenError(text, field_violations=[FieldViolation("page_token", text)])
    return limit_id
