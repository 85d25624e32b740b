"""A mock model server that costs little: OpenAI's chat completions over keep-alive HTTP/1.1, on loopback only.

`python -m bench.upstream` prints its address and serves until it is ended. What the requests of each contender were
billed is counted by the first part of their path: `/headgate/v1/chat/completions`; `GET /counts` tells it.
"""

import asyncio
import gc
import signal
from collections import deque
from typing import Any

import msgspec

from bench import upstream_answers as answers
from bench.upstream_answers import Shape

_MAX_CONNECTIONS = 8192
_MAX_BODY_BYTES = 4 * 1024 * 1024
_HEAD_END = b"\r\n\r\n"


class Message(msgspec.Struct, gc=False):
    content: Any = ""

    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(str(part.get("text", "")) for part in self.content)


class Request(msgspec.Struct, gc=False):
    model: str
    messages: list[Message]
    stream: bool = False


class Count(msgspec.Struct):
    """What one contender's requests were served."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


_REQUESTS = msgspec.json.Decoder(Request)


class Upstream:
    """What its connections share."""

    def __init__(self) -> None:
        self.counts: dict[str, Count] = {}
        self.connections = 0

    def count(self, contender: str, inputs: int, outputs: int) -> None:
        count = self.counts.setdefault(contender, Count())
        count.requests += 1
        count.input_tokens += inputs
        count.output_tokens += outputs


class Connection(asyncio.Protocol):
    """One client, one request at a time."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP gives
        self._transport = transport
        self._upstream.connections += 1
        if self._upstream.connections > _MAX_CONNECTIONS:
            transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        self._upstream.connections -= 1
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(_HEAD_END)
        if head_end < 0:
            return
        head = bytes(self._received[:head_end])
        length = _content_length(head)
        if length > _MAX_BODY_BYTES:
            self._transport.abort()
            return
        ends = head_end + len(_HEAD_END) + length
        if len(self._received) < ends:
            return
        body = bytes(self._received[head_end + len(_HEAD_END) : ends])
        del self._received[:ends]
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        if path == "/counts":
            self._transport.write(answers.json_response(msgspec.json.encode(self._upstream.counts)))
            return
        if not path.endswith("/chat/completions"):
            self._transport.write(answers.json_response(b'{"object":"list","data":[]}'))
            return
        try:
            request = _REQUESTS.decode(body)
            shape = answers.shape_of(request.model)
        except (msgspec.DecodeError, ValueError) as error:
            problem = msgspec.json.encode({"error": {"message": str(error), "type": "invalid_request_error"}})
            self._transport.write(answers.json_response(problem, b"400 Bad Request"))
            return
        self._complete(path.split("/", 2)[1], request, shape)

    def _complete(self, contender: str, request: Request, shape: Shape) -> None:
        prompt = request.messages[-1].text()
        word, inputs = answers.first_word(prompt), answers.input_tokens(prompt)
        self._upstream.count(contender, inputs, shape.tokens)
        if not request.stream:
            self._transport.write(answers.whole(word, inputs, shape.tokens))
            return
        begin = answers.STREAM_HEAD + answers.first_event(word)
        end = answers.last_events(inputs, shape.tokens)
        if shape.pace_seconds:
            self._transport.write(begin)
            events = deque([*answers.later_events(shape.tokens), end])
            self._pace(events, self._loop.time() + shape.pace_seconds, shape.pace_seconds)
        else:
            self._transport.write(begin + answers.later_events_joined(shape.tokens) + end)

    def _pace(self, events: deque[bytes], due: float, pace: float) -> None:
        self._timer = self._loop.call_at(due, self._send_due, events, due, pace)

    def _send_due(self, events: deque[bytes], due: float, pace: float) -> None:
        """Whatever is due by now: a late timer is made up for, so that the pace holds on the whole."""
        now = self._loop.time()
        sending = []
        while events and due <= now:
            sending.append(events.popleft())
            due += pace
        # The end follows its last token at once.
        if len(events) == 1:
            sending.append(events.popleft())
        self._transport.write(b"".join(sending))
        if events:
            self._pace(events, due, pace)


def _content_length(head: bytes) -> int:
    found = head.lower().find(b"content-length:")
    return int(head[found + 15 : (head + b"\r\n").find(b"\r\n", found)]) if found >= 0 else 0


async def _serve() -> None:
    loop, upstream, ended = asyncio.get_running_loop(), Upstream(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", 0, backlog=4096)
    gc.freeze()
    host, port = server.sockets[0].getsockname()
    print(f"ready {host}:{port}", flush=True)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
