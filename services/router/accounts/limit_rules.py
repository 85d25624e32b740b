"""The limits as the rate limiter last told them, for the time when it can't: whom they bind, and what then becomes of whom."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Protocol

from headgate.common.v1.caller_pb2 import Caller
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services._runtime.errors import GatewayError

LOOK_EVERY_SECONDS = 2.0
_PAGE = 1000


class Listing(Protocol):
    """Where limits are kept."""

    def limits(self, request: ratelimit.ListLimitsRequest) -> Awaitable[ratelimit.ListLimitsResponse]:
        """:raises GatewayError: nobody can say."""


class LimitRules:
    """Looks at every limit each few seconds; most answers say that nothing has changed. Those that were seen last stay.

    A shadow limit never refuses, so none is here.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._etag = ""
        self._by_organization: Mapping[str, Sequence[limit_pb2.Limit]] = {}
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._look_for_ever())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    async def look(self) -> None:
        """Once; without effect while the rate limiter can't say."""
        try:
            await self._read()
        except GatewayError:
            return

    def binding(self, caller: Caller, model: str, labels: Mapping[str, str]) -> list[limit_pb2.Limit]:
        """Those that bind such a request, by the rate limiter's own rule, ordered by id."""
        anybodys = self._by_organization.get("", ())
        its_own = self._by_organization.get(caller.organization_id, ()) if caller.organization_id else ()
        found = [limit for limit in (*anybodys, *its_own) if binds(limit.selector, caller, model, labels)]
        return sorted(found, key=lambda limit: limit.limit_id)

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.look()

    async def _read(self) -> None:
        question = ratelimit.ListLimitsRequest(page_size=_PAGE, known_etag=self._etag)
        page = await self._listing.limits(question)
        etag, limits = page.etag, list(page.limits)
        if etag == self._etag:
            return
        while page.next_page_token:
            question = ratelimit.ListLimitsRequest(page_size=_PAGE, page_token=page.next_page_token)
            page = await self._listing.limits(question)
            limits += page.limits
            if page.etag != etag:
                # They changed while they were read: the next look sees them whole.
                return
        self._etag, self._by_organization = etag, _grouped(limits)


def binds(selector: limit_pb2.Selector, caller: Caller, model: str, labels: Mapping[str, str]) -> bool:
    """Whether the request matches every field of the selector that is set."""
    return (
        selector.organization_id in ("", caller.organization_id)
        and selector.user_id in ("", caller.user_id)
        and selector.key_id in ("", caller.key_id)
        and selector.model in ("", model)
        and all(labels.get(name) == value for name, value in selector.labels.items())
    )


def _grouped(limits: Iterable[limit_pb2.Limit]) -> Mapping[str, Sequence[limit_pb2.Limit]]:
    grouped = defaultdict(list)
    for limit in limits:
        if not limit.shadow:
            grouped[limit.selector.organization_id].append(limit)
    return dict(grouped)
