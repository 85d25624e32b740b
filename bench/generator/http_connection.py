"""One keep-alive HTTP/1.1 connection of the generator: a request, and its whole answer with the times of its pieces."""

import asyncio
from dataclasses import dataclass, field

from bench.generator.client import Answer, WrongAnswerError, now

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(slots=True)
class Exchange:
    """An answer as it came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    times: Answer = field(default_factory=Answer)


class HttpConnection(asyncio.Protocol):
    """Closed by the server, it can't be used again: `is_open` tells."""

    def __init__(self) -> None:
        self.is_open = True
        self._received = bytearray()
        self._body_at = 0
        self._ends_at: int | None = None
        self._exchange = Exchange()
        self._waiter: asyncio.Future[Exchange] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP gives
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(WrongAnswerError(f"the connection was closed: {error}"))

    async def ask(self, request: bytes) -> Exchange:
        self._received.clear()
        self._body_at, self._exchange = 0, Exchange()
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._body_at and not self._read_head():
            return
        if len(self._received) > self._body_at:
            self._exchange.times.piece(now())
        if self._is_whole() and self._waiter is not None and not self._waiter.done():
            body = bytes(self._received[self._body_at :])
            self._exchange.body = body if self._ends_at is not None else _dechunked(body)
            self._waiter.set_result(self._exchange)

    def close(self) -> None:
        self._transport.close()

    def _read_head(self) -> bool:
        end = self._received.find(_HEAD_END)
        if end < 0:
            return False
        status, *lines = bytes(self._received[:end]).decode("latin-1").split("\r\n")
        self._exchange.status = int(status.split(" ")[1])
        pairs = (line.partition(":") for line in lines)
        self._exchange.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self._body_at = end + len(_HEAD_END)
        length = self._exchange.headers.get("content-length")
        self._ends_at = None if length is None else self._body_at + int(length)
        return True

    def _is_whole(self) -> bool:
        # Neither an event nor a JSON body ends like the last chunk, and nothing follows it before the next request.
        if self._ends_at is None:
            return self._received.endswith(_LAST_CHUNK)
        return len(self._received) >= self._ends_at


def _dechunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2
