"""Who sends a request: API keys, resolved by billing and remembered for a short while."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services._runtime import context
from services._runtime.errors import GatewayError, PeerUnavailableError
from services._runtime.rpc.authentication import bearer_token
from services.router.peers import UNREACHABLE, Accounts, Principal

MAX_KEYS = 100_000


@dataclass(slots=True)
class _Known:
    verdict: Principal | GatewayError
    fresh_until: float
    usable_until: float


class KeyAuthentication:
    """The authentication hook of the router.

    A verdict, good or bad, is taken as fresh for `fresh_seconds`: a revoked key works that long. While billing can't be
    reached a good verdict stays usable for `stale_seconds`. Keys are remembered by their SHA-256, never as text.
    """

    def __init__(
        self, accounts: Accounts, now: Callable[[], float], fresh_seconds: float, stale_seconds: float
    ) -> None:
        self._accounts = accounts
        self._now = now
        self._fresh_seconds = fresh_seconds
        self._stale_seconds = stale_seconds
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._resolving: dict[bytes, asyncio.Task[Principal]] = {}

    async def __call__(self, metadata: Mapping[str, Any]) -> Principal:
        """:raises GatewayError: MISSING_CREDENTIALS, INVALID_KEY, KEY_REVOKED, PEER_UNAVAILABLE."""
        token = bearer_token(metadata)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None or self._now() >= known.fresh_until:
            known = await self._refresh(digest, token, known)
        if isinstance(known.verdict, GatewayError):
            raise known.verdict.with_traceback(None)
        _note(known.verdict)
        return known.verdict

    async def _refresh(self, digest: bytes, token: str, known: _Known | None) -> _Known:
        try:
            verdict: Principal | GatewayError = await self._resolve(digest, token)
        except GatewayError as error:
            if error.code in UNREACHABLE:
                return self._stale(known, error)
            verdict = error
        now = self._now()
        entry = _Known(verdict, now + self._fresh_seconds, now + self._stale_seconds)
        self._known[digest] = entry
        self._known.move_to_end(digest)
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)
        return entry

    async def _resolve(self, digest: bytes, token: str) -> Principal:
        """One call to billing for all requests that present the same key at once."""
        task = self._resolving.get(digest)
        if task is None:
            task = asyncio.ensure_future(self._ask(token))
            self._resolving[digest] = task
            task.add_done_callback(lambda _: self._resolving.pop(digest, None))
        # A caller that goes away must not take the others' answer with it.
        return await asyncio.shield(task)

    async def _ask(self, token: str) -> Principal:
        # Whoever asks first may have little time left; the others that wait for the answer have their own.
        context.detach()
        return await self._accounts.resolve(token)

    def _stale(self, known: _Known | None, error: GatewayError) -> _Known:
        if known is not None and self._now() < known.usable_until and isinstance(known.verdict, Principal):
            return known
        raise PeerUnavailableError(
            "billing, which knows the API keys, can't be reached", retry_after_seconds=1.0
        ) from error


def _note(principal: Principal) -> None:
    """Bind who asks to the request's log lines."""
    caller = principal.caller
    context.current().log_ids.update(
        organization_id=caller.organization_id, user_id=caller.user_id, key_id=caller.key_id
    )
