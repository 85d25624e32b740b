"""Tells billing what was used and what is no longer held: spooled first, delivered now or later, booked once."""

import asyncio
import json
from collections.abc import Callable
from itertools import islice
from typing import Any

from google.protobuf import json_format

from headgate.billing.v1 import billing_service_pb2 as billing
from services._runtime.errors import Code, GatewayError
from services.router.accounts.refused import RefusedFiles
from services.router.accounts.spool import Spool
from services.router.peers import Billing

_CAPTURE, _VOID = b"C", b"V"
# What is kept while a request runs, and sent only by the next process: its hold, and what it has used so far.
_OPEN, _CHECKPOINT = b"O", b"P"
_REPLAY_BATCH = 64
_IDLE_SECONDS = 0.25
_MAX_BACKOFF_SECONDS = 2.0
# What a later attempt may mend; anything else is billing's verdict on the content.
_TRANSIENT = frozenset(
    {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN, Code.RESOURCE_EXHAUSTED}
    | {Code.CANCELLED, Code.UNAUTHENTICATED, Code.UNIMPLEMENTED}
)


class Settlements:
    """Every capture and void of this process.

    What billing refuses for good is never dropped: it is appended to `refused` with billing's reason, for a person.
    """

    def __init__(
        self,
        spool: Spool,
        billing_peer: Billing,
        refused: RefusedFiles,
        log: Any,
        on_refused: Callable[[], None],
    ) -> None:
        self._spool = spool
        self._billing = billing_peer
        self._refused = refused
        self._log = log
        self._on_refused = on_refused
        self._delivering: set[int] = set()
        self._open: dict[str, int] = {}
        self._replayer: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        return self._spool.is_full or self._refused.is_full

    @property
    def depth(self) -> int:
        return self._spool.depth - len(self._open)

    def start(self) -> None:
        self._recover()
        self._replayer = asyncio.get_running_loop().create_task(self._replay_for_ever())

    async def stop(self) -> None:
        """Try once more to deliver what is left; what stays is on disk for the next start."""
        if self._replayer is not None:
            self._replayer.cancel()
            await asyncio.wait([self._replayer])
        await self._replay()
        await self._harden()
        self._spool.close()

    async def capture(self, request: billing.CaptureRequest) -> billing.CaptureResponse | None:
        """Book usage. When this has started, the usage is kept; None means that billing has not answered yet."""
        number = self._spool.append(_CAPTURE + request.SerializeToString())
        self.forget(request.hold_id)
        response: billing.CaptureResponse | None = await self._deliver(number, request)
        return response

    async def void(self, hold_id: str) -> None:
        """End a hold without usage; kept and delivered as a capture is."""
        request = billing.VoidRequest(hold_id=hold_id)
        number = self._spool.append(_VOID + request.SerializeToString())
        self.forget(hold_id)
        await self._deliver(number, request)

    def open(self, hold_id: str) -> None:
        """Money is about to be held: if this process dies before it says more, the next one voids the hold."""
        self._open[hold_id] = self._spool.append(_OPEN + hold_id.encode())

    def checkpoint(self, request: billing.CaptureRequest) -> None:
        """What a request that runs has used so far: if this process dies before it says more, the next one books it."""
        earlier = self._open.get(request.hold_id)
        if earlier is not None:
            self._open[request.hold_id] = self._spool.append(_CHECKPOINT + request.SerializeToString())
            self._spool.acknowledge(earlier)

    def forget(self, hold_id: str) -> None:
        """More was said of the request, or nothing is held for it."""
        number = self._open.pop(hold_id, None)
        if number is not None:
            self._spool.acknowledge(number)

    def _recover(self) -> None:
        """Turn what dead processes had noted of requests that ran into captures and voids, unless they said more."""
        noted: dict[str, tuple[int, bytes]] = {}
        settled: set[str] = set()
        for number, payload in list(self._spool.unacknowledged()):
            kind, hold_id = payload[:1], _hold_of(payload)
            if kind in {_CAPTURE, _VOID}:
                settled.add(hold_id)
                continue
            if hold_id in noted:
                self._spool.acknowledge(noted[hold_id][0])
            noted[hold_id] = number, payload
        for hold_id, (number, payload) in noted.items():
            if hold_id not in settled:
                self._spool.append(_as_settlement(payload))
            self._spool.acknowledge(number)

    async def _deliver(self, number: int, request: Any) -> Any:
        self._delivering.add(number)
        try:
            response = await self._send(request)
        except GatewayError as error:
            if error.code not in _TRANSIENT and self._set_aside(request, error):
                self._spool.acknowledge(number)
            return None
        finally:
            self._delivering.discard(number)
        self._spool.acknowledge(number)
        return response

    async def _send(self, request: Any) -> Any:
        if isinstance(request, billing.CaptureRequest):
            return await self._billing.capture(request)
        return await self._billing.void(request)

    def _set_aside(self, request: Any, error: GatewayError) -> bool:
        """Whether it was written for a person to see; if not it stays in the spool."""
        line = {
            "reason": error.reason,
            "message": error.message,
            "request": json_format.MessageToDict(request),
        }
        try:
            self._refused.append(json.dumps(line).encode())
        except OSError as problem:
            self._log.error("refused usage can't be set aside", problem=str(problem), reason=error.reason)
            return False
        self._on_refused()
        self._log.error("billing refused usage", reason=error.reason, kept_in=str(self._refused.newest))
        if self._refused.is_full:
            self._log.error(
                "what billing refused fills its room; no requests are admitted until files are taken away",
                folder=str(self._refused.newest.parent),
            )
        return True

    async def _replay_for_ever(self) -> None:
        backoff = _IDLE_SECONDS
        while True:
            await asyncio.sleep(backoff)
            await self._harden()
            if self._refused.is_full:
                self._refused.look()
            delivered = await self._replay()
            backoff = _IDLE_SECONDS if delivered else min(_MAX_BACKOFF_SECONDS, backoff * 2)

    async def _harden(self) -> None:
        """Bring what is kept to the disk, as far as the disk works."""
        try:
            self._spool.retry()
            if (sync := self._spool.pending_sync()) is not None:
                await asyncio.to_thread(sync)
        except OSError as problem:
            self._log.error(
                "the spool's disk fails; no requests are admitted until it works", problem=str(problem)
            )

    async def _replay(self) -> bool:
        """Deliver what nobody is delivering, oldest first; False when billing still can't be reached."""
        while waiting := self._waiting():
            await asyncio.gather(*(self._deliver(number, _parse(payload)) for number, payload in waiting))
            if any(self._spool.keeps(number) for number, _ in waiting):
                return False
        return True

    def _waiting(self) -> list[tuple[int, bytes]]:
        running = {*self._open.values(), *self._delivering}
        kept = self._spool.unacknowledged()
        return list(islice((entry for entry in kept if entry[0] not in running), _REPLAY_BATCH))


def _hold_of(payload: bytes) -> str:
    kind, content = payload[:1], payload[1:]
    if kind == _OPEN:
        return content.decode()
    message = billing.VoidRequest if kind == _VOID else billing.CaptureRequest
    return message.FromString(content).hold_id


def _as_settlement(payload: bytes) -> bytes:
    if payload[:1] == _CHECKPOINT:
        return _CAPTURE + payload[1:]
    return _VOID + billing.VoidRequest(hold_id=payload[1:].decode()).SerializeToString()


def _parse(payload: bytes) -> Any:
    message = billing.CaptureRequest if payload[:1] == _CAPTURE else billing.VoidRequest
    return message.FromString(payload[1:])
