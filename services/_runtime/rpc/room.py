"""How many bytes of requests a process holds at once, in all and of one caller."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from services._runtime.errors import OverloadedError

COUNTED_BYTES = 64 * 1024
"""Smaller requests are bounded by how many calls a connection may have, and not counted."""
_SHARE = 4
_RETRY_SECONDS = 1.0


class BytesInFlight:
    """At most `most` bytes, of which one caller has at most a quarter; `caller` is whatever tells callers apart."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._all = 0
        self._of = Counter[str]()

    def taken(self, size: int, caller: str) -> AbstractContextManager[None]:
        """They are occupied until the context ends.

        :raises OverloadedError: there is no room for them now.
        """
        return nullcontext() if size < COUNTED_BYTES else self._taken(size, caller)

    @contextmanager
    def _taken(self, size: int, caller: str) -> Iterator[None]:
        # A caller that has nothing else in flight gets its request through, however small its share is.
        if self._of[caller] and self._of[caller] + size > self._most // _SHARE:
            raise OverloadedError(
                f"this caller has {self._of[caller]} bytes of requests in flight, at most {self._most // _SHARE} at once",
                retry_after_seconds=_RETRY_SECONDS,
            )
        if self._all + size > self._most:
            raise OverloadedError(
                "this process has too many bytes of requests in flight", retry_after_seconds=_RETRY_SECONDS
            )
        self._of[caller] += size
        self._all += size
        try:
            yield
        finally:
            self._of[caller] -= size
            self._all -= size
            if not self._of[caller]:
                del self._of[caller]
