"""The API's limits in this process's memory."""

from dataclasses import replace

from services.ratelimit.errors import EtagMismatchError, LimitNotFoundError
from services.ratelimit.limit import Limit


class MemoryLimitStore:
    """Implements LimitStore."""

    def __init__(self) -> None:
        self._limits: dict[str, Limit] = {}
        self._version = 0

    async def version(self) -> int:
        return self._version

    async def read(self) -> tuple[int, tuple[Limit, ...]]:
        return self._version, tuple(self._limits.values())

    async def put(self, limit: Limit) -> Limit:
        known = self._limits.get(limit.limit_id)
        if limit.etag and limit.etag != (known.etag if known else ""):
            raise EtagMismatchError(f"limit {limit.limit_id} is not at etag {limit.etag}; read it again")
        self._version += 1
        generation = known.generation if known else self._version
        stored = replace(limit, etag=str(self._version), generation=generation)
        self._limits[limit.limit_id] = stored
        return stored

    async def delete(self, limit_id: str, etag: str) -> None:
        known = self._limits.get(limit_id)
        if known is None:
            raise LimitNotFoundError(f"there is no limit {limit_id}")
        if etag and etag != known.etag:
            raise EtagMismatchError(f"limit {limit_id} is not at etag {etag}; read it again")
        self._version += 1
        del self._limits[limit_id]
