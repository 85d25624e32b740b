"""Who sends a request: API keys, resolved by billing and remembered for a short while."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services._runtime import context
from services._runtime.errors import GatewayError, InvalidTokenError, PeerUnavailableError, QuotaViolation
from services._runtime.key_form import Fault, fault_of, key_id_of
from services._runtime.rpc.authentication import AddressNeededError, bearer_token
from services.router.accounts.throttle import HALF_LIFE_SECONDS, MOST_FAILURES, RETRY_SECONDS, Throttle
from services.router.accounts.verdicts import Known, Verdicts
from services.router.accounts.wrong_keys import WrongKeys
from services.router.errors import TooManyWrongKeysError
from services.router.peers import UNREACHABLE, Accounts, Principal

UNKNOWN_AT_ONCE = 8
"""Keys that are not known to be good are asked for so many at a time: a flood of wrong ones leaves billing to the others."""
_FAULTS = {
    Fault.MALFORMED: "no such API key: one has the form hg_<key_id>_<secret>",
    Fault.CHECKSUM: "no such API key: its last characters do not fit the others, so it was not copied as it is",
}
_WRONG_KEYS = QuotaViolation(
    "wrong-keys", f"{MOST_FAILURES:g}, of which half are forgotten in {HALF_LIFE_SECONDS:g} s"
)
_KINDS = {"KEY_REVOKED": "revoked", "RATE_LIMITED": "throttled"}


@dataclass(frozen=True, slots=True)
class _Stranger:
    """A key that is not known to be good, and has the form of one."""

    token: str = field(repr=False)
    digest: bytes
    key_id: str
    address: str
    patience: int


class KeyAuthentication:
    """The authentication hook of the router.

    A verdict, good or bad, is taken as fresh for `fresh_seconds`: a revoked key works that long. While billing can't be
    reached a good verdict stays usable for `stale_seconds`. What has not the form of a key is refused without asking, and so
    are others once many wrong ones came, as `Throttle` has it; who has a known one meets none of this. Keys are remembered
    by their SHA-256, never as text.
    """

    def __init__(
        self,
        accounts: Accounts,
        wrong: WrongKeys,
        now: Callable[[], float],
        epoch_ns: Callable[[], int],
        *,
        fresh_seconds: float,
        stale_seconds: float,
    ) -> None:
        self._accounts = accounts
        self._wrong = wrong
        self._now = now
        self._verdicts = Verdicts(now, epoch_ns, fresh_seconds, stale_seconds)
        self._known = self._verdicts.good
        self._throttle = Throttle()
        self._resolving: dict[bytes, asyncio.Task[Principal]] = {}
        self._door = asyncio.Semaphore(UNKNOWN_AT_ONCE)

    async def __call__(self, metadata: Mapping[str, Any]) -> Principal:
        """:raises GatewayError: MISSING_CREDENTIALS; of a known key KEY_REVOKED, INVALID_KEY, PEER_UNAVAILABLE.

        :raises AddressNeededError: the key is not known; who asks with the address may also be told RATE_LIMITED.
        """
        token = bearer_token(metadata)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            raise AddressNeededError(lambda address: self._meet(token, digest, address))
        if self._now() >= known.fresh_until:
            known = await self._renew(token, digest, known)
        _note(known.principal)
        return known.principal

    async def _renew(self, token: str, digest: bytes, known: Known) -> Known:
        try:
            known.require_time(self._now())
            return self._verdicts.admit(digest, await self._resolve(digest, lambda: self._ask(token)))
        except GatewayError as error:
            if error.code not in UNREACHABLE:
                self._verdicts.refuse(digest, error)
                self._wrong.tell(_kind(error), key_id=key_id_of(token))
                raise
            if self._now() < known.usable_until:
                return known
            raise _unavailable() from error

    async def _meet(self, token: str, digest: bytes, address: str) -> Principal:
        fault = fault_of(token)
        if fault is not None:
            self._wrong.tell(fault, address=address)
            await self._wrong.slow_down()
            raise InvalidTokenError(_FAULTS[fault])
        patience = self._throttle.patience(digest, self._now())
        stranger = _Stranger(token, digest, key_id_of(token), address, patience)
        try:
            known = await self._recognise(stranger)
        except GatewayError as error:
            if error.code in UNREACHABLE:
                raise _unavailable() from error
            self._wrong.tell(_kind(error), key_id=stranger.key_id, address=address)
            await self._wrong.slow_down()
            raise
        _note(known.principal)
        return known.principal

    async def _recognise(self, stranger: _Stranger) -> Known:
        digest = stranger.digest
        known = self._known.get(digest)
        if known is not None and self._now() < known.fresh_until:
            # Another call with it was quicker.
            return known
        self._verdicts.raise_if_refused(digest)
        self._require_room(stranger)
        try:
            principal = await self._resolve(digest, lambda: self._ask_in_turn(stranger))
            return self._verdicts.admit(digest, principal)
        except TooManyWrongKeysError:
            # No verdict: nobody was asked.
            raise
        except GatewayError as error:
            if error.code not in UNREACHABLE:
                self._verdicts.refuse(digest, error)
            raise

    async def _resolve(self, digest: bytes, ask: Callable[[], Awaitable[Principal]]) -> Principal:
        """One call to billing for all requests that present the same key at once."""
        task = self._resolving.get(digest)
        if task is None:
            task = self._resolving[digest] = asyncio.ensure_future(ask())
            task.add_done_callback(lambda _: self._resolving.pop(digest, None))
        # A caller that goes away must not take the others' answer with it.
        return await asyncio.shield(task)

    async def _ask_in_turn(self, stranger: _Stranger) -> Principal:
        async with self._door:
            # Those before it may have turned out to be wrong.
            self._require_room(stranger)
            try:
                return await self._ask(stranger.token)
            except GatewayError as error:
                if error.code not in UNREACHABLE:
                    self._throttle.failed(stranger.address, stranger.key_id, self._now())
                raise

    async def _ask(self, token: str) -> Principal:
        # Whoever asks first may have little time left; the others that wait for the answer have their own.
        context.detach()
        return await self._accounts.resolve(token)

    def _require_room(self, stranger: _Stranger) -> None:
        now = self._now()
        if self._throttle.has_room(stranger.address, stranger.key_id, stranger.patience, now):
            return
        self._throttle.put_off(stranger.digest, stranger.patience, now)
        raise TooManyWrongKeysError(
            "too many wrong API keys came from this address or with this key id; "
            f"one that is right is let in when it comes again after {RETRY_SECONDS:g} s",
            retry_after_seconds=RETRY_SECONDS,
            quota_violations=[_WRONG_KEYS],
        )


def _kind(error: GatewayError) -> str:
    return _KINDS.get(error.reason, "unknown")


def _unavailable() -> GatewayError:
    return PeerUnavailableError(
        "billing, which knows the API keys, can't be reached", retry_after_seconds=1.0
    )


def _note(principal: Principal) -> None:
    """Bind who asks to the request's log lines."""
    caller = principal.caller
    context.current().log_ids.update(
        organization_id=caller.organization_id, user_id=caller.user_id, key_id=caller.key_id
    )
