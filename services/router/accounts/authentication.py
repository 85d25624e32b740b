"""Who sends a request: API keys, resolved by billing and remembered for a short while."""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from services._runtime import context
from services._runtime.errors import GatewayError, InvalidTokenError, PeerUnavailableError
from services._runtime.rpc.authentication import bearer_token
from services.router.peers import UNREACHABLE, Accounts, Principal

Entry = TypeVar("Entry")
MAX_KEYS = 100_000
MAX_REFUSED = 10_000
UNKNOWN_AT_ONCE = 8
"""Keys that are not known to be good are asked for so many at a time: a flood of wrong ones leaves billing to the others."""
_FORM = re.compile(r"hg_[A-Za-z0-9]{1,64}_[A-Za-z0-9]{1,256}")


@dataclass(slots=True)
class _Known:
    principal: Principal
    fresh_until: float
    usable_until: float


@dataclass(slots=True)
class _Refused:
    error: GatewayError
    until: float


class KeyAuthentication:
    """The authentication hook of the router.

    A verdict, good or bad, is taken as fresh for `fresh_seconds`: a revoked key works that long. While billing can't be
    reached a good verdict stays usable for `stale_seconds`. Bad ones live apart, and push no good one out; what has not the
    form of a key is refused without asking. Keys are remembered by their SHA-256, never as text.
    """

    def __init__(
        self, accounts: Accounts, now: Callable[[], float], fresh_seconds: float, stale_seconds: float
    ) -> None:
        self._accounts = accounts
        self._now = now
        self._fresh_seconds = fresh_seconds
        self._stale_seconds = stale_seconds
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._refused: OrderedDict[bytes, _Refused] = OrderedDict()
        self._resolving: dict[bytes, asyncio.Task[Principal]] = {}
        self._door = asyncio.Semaphore(UNKNOWN_AT_ONCE)

    async def __call__(self, metadata: Mapping[str, Any]) -> Principal:
        """:raises GatewayError: MISSING_CREDENTIALS, INVALID_KEY, KEY_REVOKED, PEER_UNAVAILABLE."""
        token = bearer_token(metadata)
        if _FORM.fullmatch(token) is None:
            raise InvalidTokenError("no such API key")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None or self._now() >= known.fresh_until:
            known = await self._refresh(digest, token, known)
        _note(known.principal)
        return known.principal

    async def _refresh(self, digest: bytes, token: str, known: _Known | None) -> _Known:
        refused = self._refused.get(digest)
        if refused is not None and self._now() < refused.until:
            raise refused.error.with_traceback(None)
        try:
            principal = await self._resolve(digest, token, is_known=known is not None)
        except GatewayError as error:
            if error.code in UNREACHABLE:
                return self._stale(known, error)
            self._known.pop(digest, None)
            _keep(self._refused, digest, _Refused(error, self._now() + self._fresh_seconds), MAX_REFUSED)
            raise
        now = self._now()
        entry = _Known(principal, now + self._fresh_seconds, now + self._stale_seconds)
        _keep(self._known, digest, entry, MAX_KEYS)
        return entry

    async def _resolve(self, digest: bytes, token: str, *, is_known: bool) -> Principal:
        """One call to billing for all requests that present the same key at once."""
        task = self._resolving.get(digest)
        if task is None:
            task = asyncio.ensure_future(self._ask(token) if is_known else self._ask_in_turn(token))
            self._resolving[digest] = task
            task.add_done_callback(lambda _: self._resolving.pop(digest, None))
        # A caller that goes away must not take the others' answer with it.
        return await asyncio.shield(task)

    async def _ask_in_turn(self, token: str) -> Principal:
        async with self._door:
            return await self._ask(token)

    async def _ask(self, token: str) -> Principal:
        # Whoever asks first may have little time left; the others that wait for the answer have their own.
        context.detach()
        return await self._accounts.resolve(token)

    def _stale(self, known: _Known | None, error: GatewayError) -> _Known:
        if known is not None and self._now() < known.usable_until:
            return known
        raise PeerUnavailableError(
            "billing, which knows the API keys, can't be reached", retry_after_seconds=1.0
        ) from error


def _keep(kept: OrderedDict[bytes, Entry], digest: bytes, entry: Entry, most: int) -> None:
    """The oldest go first."""
    kept[digest] = entry
    kept.move_to_end(digest)
    if len(kept) > most:
        kept.popitem(last=False)


def _note(principal: Principal) -> None:
    """Bind who asks to the request's log lines."""
    caller = principal.caller
    context.current().log_ids.update(
        organization_id=caller.organization_id, user_id=caller.user_id, key_id=caller.key_id
    )
