"""Load over OpenAI's HTTP API: the peers', and the upstream itself."""

import asyncio

import msgspec

from bench.generator.client import Answer, WrongAnswerError
from bench.generator.http_connection import Exchange, HttpConnection
from bench.generator.window import Target, Window
from bench.upstream_answers import input_tokens, model_name, text_of

_TIMEOUT_SECONDS = 60.0
_MAX_OUTPUT_TOKENS = 1024
_OK = 200


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Said | None = None
    message: _Said | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Body(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None


_BODIES = msgspec.json.Decoder(_Body)


class OpenAiClient:
    """Implements `Client`. A connection serves one request at a time and is kept for the next."""

    def __init__(self, target: Target) -> None:
        self._host, _, port = target.address.rpartition(":")
        self._port = int(port)
        self._idle: list[HttpConnection] = []
        headers = {
            "Host": target.address,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            **target.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = f"POST {target.path} HTTP/1.1\r\n{lines}"

    async def ask(self, prompt: str, key: str, window: Window) -> Answer:
        connection = await self._connection()
        try:
            exchange = await asyncio.wait_for(
                connection.ask(self._request(prompt, key, window)), _TIMEOUT_SECONDS
            )
        except TimeoutError:
            connection.close()
            raise WrongAnswerError(f"no answer within {_TIMEOUT_SECONDS:g} s") from None
        self._idle.append(connection)
        if exchange.status != _OK:
            raise WrongAnswerError(f"HTTP {exchange.status}: {exchange.body[:200].decode(errors='replace')}")
        return _answer(exchange, streamed=window.streamed)

    def is_right(self, answer: Answer, prompt: str, window: Window) -> bool:
        return (answer.text, answer.input_tokens, answer.output_tokens) == (
            text_of(prompt, window.tokens),
            input_tokens(prompt),
            window.tokens,
        )

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()

    async def _connection(self) -> HttpConnection:
        while self._idle:
            kept = self._idle.pop()
            if kept.is_open:
                return kept
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(HttpConnection, self._host, self._port))[1]

    def _request(self, prompt: str, key: str, window: Window) -> bytes:
        asked = {
            "model": model_name(window.tokens, window.pace_ms),
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": _MAX_OUTPUT_TOKENS,
            "temperature": 0,
        }
        if window.streamed:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        body = msgspec.json.encode(asked)
        head = f"{self._head}Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


def _answer(exchange: Exchange, *, streamed: bool) -> Answer:
    answer = exchange.times
    if not streamed:
        _take(exchange.body, answer)
    else:
        for event in exchange.body.split(b"\n\n"):
            if event.startswith(b"data: {"):
                answer.messages += 1
                _take(event[6:], answer)
    answer.text = "".join(answer.parts)
    return answer


def _take(data: bytes, answer: Answer) -> None:
    try:
        body = _BODIES.decode(data)
    except msgspec.DecodeError as error:
        raise WrongAnswerError(f"{error}: {data[:200].decode(errors='replace')}") from None
    for choice in body.choices:
        said = choice.delta or choice.message
        if said is not None and said.content:
            answer.parts.append(said.content)
    if body.usage is not None:
        answer.input_tokens, answer.output_tokens = body.usage.prompt_tokens, body.usage.completion_tokens
