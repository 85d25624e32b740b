"""Writes an answer to the client at its pace, with its interruption, and notes in the ledger what was written."""

import asyncio
from dataclasses import dataclass
from itertools import chain

from aiohttp import web

from simulator.behaviour import Behaviour, Interruption
from simulator.errors import ApiError
from simulator.ledger import Record
from simulator.pacing import Pacer, frames_until, opening_frames
from simulator.reply import Reply

_STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


async def hang() -> None:
    """Until the client goes away, which cancels the handler."""
    await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class BrokenEvents:
    error: bytes
    """The event by which the API says that it failed."""
    malformed: bytes
    """An event that should be JSON and is not."""


class Delivery:
    def __init__(
        self,
        request: web.Request,
        behaviour: Behaviour,
        record: Record,
        headers: dict[str, str],
        events: BrokenEvents,
    ) -> None:
        self._request = request
        self._behaviour = behaviour
        self._record = record
        self._headers = headers
        self._events = events

    async def send(self, reply: Reply) -> web.StreamResponse:
        return await (self._send_whole(reply) if reply.frames is None else self._send_events(reply))

    def _interruption(self, reply: Reply) -> tuple[Interruption, int] | None:
        """None also when the answer is over before it would be interrupted."""
        interruption = self._behaviour.interruption()
        return interruption if interruption and interruption[1] <= reply.output_tokens else None

    async def _send_events(self, reply: Reply) -> web.StreamResponse:
        frames = reply.frames() if reply.frames else iter(())
        ending, pause = iter(reply.ending()), self._behaviour.late_usage_seconds
        if not pause:
            frames = chain(frames, ending)
        interruption = self._interruption(reply)
        if interruption == (Interruption.HANG, 0):
            # A server that has read the prompt and says no more: its client knows the prompt's tokens, and none else.
            frames = opening_frames(frames)
        elif interruption is not None:
            frames = frames_until(frames, interruption[1])
        await asyncio.sleep(self._behaviour.ttft_seconds)
        response = web.StreamResponse(headers=_STREAM_HEADERS | self._headers)
        await response.prepare(self._request)
        self._record.status = response.status
        whole = interruption is None
        await self._pace(response, Pacer(frames, self._behaviour.gap_seconds), whole=whole and not pause)
        if interruption is not None:
            await self._interrupt(response, interruption[0])
            return response
        if pause:
            await asyncio.sleep(pause)
            await self._pace(response, Pacer(ending, 0), whole=True)
        self._record.outcome = "complete"
        return response

    async def _pace(self, response: web.StreamResponse, pacer: Pacer, *, whole: bool) -> None:
        """`whole`: the last events end the response, in the same socket write."""
        clock = asyncio.get_running_loop().time
        started = clock()
        while not pacer.done:
            wait = pacer.due_seconds() - (clock() - started)
            if wait > 0:
                await asyncio.sleep(wait)
            batch = pacer.take(clock() - started)
            self._record.output_tokens += batch.tokens
            if whole and batch.last:
                await response.write_eof(batch.data)
            elif batch.data:
                await response.write(batch.data)
            self._record.written_tokens += batch.tokens

    async def _interrupt(self, response: web.StreamResponse, kind: Interruption) -> None:
        self._record.outcome = "cut" if kind is Interruption.CUT else "fault"
        match kind:
            case Interruption.CUT:
                self._cut()
                return
            case Interruption.HANG:
                await response.write(b"")
                await hang()
            case Interruption.MALFORMED:
                await response.write(self._events.malformed)
            case Interruption.ERROR:
                await response.write(self._events.error)
            case Interruption.END:
                pass
        await response.write_eof()

    async def _send_whole(self, reply: Reply) -> web.StreamResponse:
        await self._generate(reply.output_tokens)
        body = reply.body()
        interruption = self._interruption(reply)
        if interruption is not None:
            return await self._send_broken(body, interruption[0])
        response = web.Response(body=body, content_type="application/json", headers=self._headers)
        await self._write_whole(response)
        self._record.written_tokens = reply.output_tokens
        self._record.outcome = "complete"
        return response

    async def _generate(self, tokens: int) -> None:
        """Takes the time that the tokens take; when the client leaves, only those that were due are generated."""
        behaviour = self._behaviour
        clock = asyncio.get_running_loop().time
        first_due = clock() + behaviour.ttft_seconds
        try:
            await asyncio.sleep(behaviour.ttft_seconds + max(0, tokens - 1) * behaviour.gap_seconds)
        except asyncio.CancelledError:
            since_first = clock() - first_due
            due = int(since_first / behaviour.gap_seconds) + 1 if behaviour.gap_seconds else tokens
            self._record.output_tokens = min(tokens, due) if since_first >= 0 else 0
            raise
        self._record.output_tokens = tokens

    async def _send_broken(self, body: bytes, kind: Interruption) -> web.StreamResponse:
        """An interruption of an answer that is not streamed: nothing usable is written, so no token is."""
        self._record.outcome = "cut" if kind is Interruption.CUT else "fault"
        if kind is Interruption.HANG:
            await hang()
        if kind is Interruption.ERROR:
            raise ApiError(500, "The simulator was asked to fail while it was answering.")
        half = body[: len(body) // 2]
        if kind is not Interruption.CUT:
            response = web.Response(body=half, content_type="application/json", headers=self._headers)
            await self._write_whole(response)
            return response
        headers = self._headers | {"Content-Type": "application/json", "Content-Length": str(len(body))}
        broken = web.StreamResponse(headers=headers)
        await broken.prepare(self._request)
        self._record.status = broken.status
        await broken.write(half)
        self._cut()
        return broken

    async def _write_whole(self, response: web.Response) -> None:
        await response.prepare(self._request)
        self._record.status = response.status
        await response.write_eof()

    def _cut(self) -> None:
        if self._request.transport is not None:
            self._request.transport.close()
