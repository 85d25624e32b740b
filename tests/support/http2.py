"""HTTP/2 by hand: what no gRPC client would do to a server, a test can."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
ENHANCE_YOUR_CALM = 0xB


@dataclass(frozen=True, slots=True)
class Frame:
    """RFC 9113, section 4.1."""

    kind: int
    flags: int = 0
    stream: int = 0
    payload: bytes = b""

    def __bytes__(self) -> bytes:
        length = len(self.payload)
        return (
            struct.pack(">BHBBI", length >> 16, length & 0xFFFF, self.kind, self.flags, self.stream)
            + self.payload
        )


class RawConnection:
    """A client's end after the preface; it acknowledges settings and nothing else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def opened(cls, address: str) -> AsyncIterator[Self]:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(PREFACE + bytes(Frame(SETTINGS)))
            yield cls(reader, writer)
        finally:
            writer.close()

    def send(self, *frames: Frame) -> None:
        self._writer.write(b"".join(map(bytes, frames)))

    def begin_call(
        self,
        stream: int,
        method: str,
        message: bytes,
        *,
        metadata: Sequence[tuple[str, str]] = (),
        ends: bool = True,
    ) -> None:
        """A gRPC request of one message."""
        self.begin_headers(stream, method, metadata)
        body = struct.pack(">BI", 0, len(message)) + message
        self.send(Frame(DATA, END_STREAM if ends else 0, stream, body))

    def begin_headers(self, stream: int, method: str, metadata: Sequence[tuple[str, str]] = ()) -> None:
        """A gRPC call whose message is yet to come."""
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *metadata,
        ]
        self.send(Frame(HEADERS, END_HEADERS, stream, _plain(headers)))

    async def frames(self) -> AsyncIterator[Frame]:
        """What the server sends, until it closes the connection."""
        while True:
            try:
                head = await self._reader.readexactly(9)
                high, low, kind, flags, stream = struct.unpack(">BHBBI", head)
                payload = await self._reader.readexactly(high << 16 | low)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if kind == SETTINGS and not flags & ACK:
                self.send(Frame(SETTINGS, ACK))
            yield Frame(kind, flags, stream, payload)


def error_code(goaway: Frame) -> int:
    (code,) = struct.unpack_from(">I", goaway.payload, 4)
    return int(code)


def _plain(headers: Sequence[tuple[str, str]]) -> bytes:
    """HPACK without its tables and its Huffman code (RFC 7541, section 6.2.2)."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def _text(value: str) -> bytes:
    encoded = value.encode()
    assert len(encoded) < 127
    return bytes([len(encoded)]) + encoded
