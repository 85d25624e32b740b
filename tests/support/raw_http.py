"""Servers that say HTTP byte for byte, right or wrong, and pieces of OpenAI's answers to say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec

Write = bytes | float
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


class Heard(list[bytes]):
    """The requests, and over how many connections they came."""

    connections = 0


@asynccontextmanager
async def saying(*writes: Write, close: bool = True) -> AsyncIterator[tuple[str, Heard]]:
    """A server that answers every request with these writes; a number is a pause in seconds."""
    async with answering(lambda _: writes, close=close) as server:
        yield server


@asynccontextmanager
async def answering(
    answer: Callable[[bytes], Iterable[Write]], *, close: bool = True
) -> AsyncIterator[tuple[str, Heard]]:
    """A server that answers each request, which `answer` is given as it came, with its writes."""
    heard = Heard()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.connections += 1
        try:
            while True:
                heard.append(await read_request(reader))
                for write in answer(heard[-1]):
                    if isinstance(write, bytes):
                        writer.write(write)
                        await writer.drain()
                    else:
                        await asyncio.sleep(write)
                if close:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", heard


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    told = (int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length"))
    length = next(told, 0)
    return head + await reader.readexactly(length)


def chunk(**choice: object) -> bytes:
    return event({"choices": [{"index": 0, **choice}]})


def event(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def refusal(status: int, body: bytes, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} No\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body


HI = chunk(delta={"content": "hi"})
STOP = chunk(delta={}, finish_reason="stop")
DONE = b"data: [DONE]\n\n"
