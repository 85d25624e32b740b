"""What the mock model server answers, known to whoever checks it. Pure.

A model's name says how it answers: `text-64` gives 64 tokens, and streams them at once; `text-64-5ms` one every 5 ms.
The first token is the first word of the prompt, so that no answer passes for another's.
"""

import re
from dataclasses import dataclass
from functools import cache

_MODEL = re.compile(r"text-(\d{1,4})(?:-(\d{1,4})ms)?")
_CHUNK = b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"bench","choices":'
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """How long an answer is, and how fast it is streamed."""

    tokens: int
    pace_seconds: float

    @property
    def seconds(self) -> float:
        return (self.tokens - 1) * self.pace_seconds


def model_name(tokens: int, pace_ms: int = 0) -> str:
    return f"text-{tokens}-{pace_ms}ms" if pace_ms else f"text-{tokens}"


@cache
def shape_of(model: str) -> Shape:
    """:raises ValueError: not a name of such a model"""
    found = _MODEL.fullmatch(model)
    if found is None:
        raise ValueError(f"no model {model}")
    return Shape(max(1, int(found[1])), int(found[2] or 0) / 1000)


def input_tokens(prompt: str) -> int:
    return len(prompt) // _CHARACTERS_PER_TOKEN


def first_word(prompt: str) -> str:
    return prompt[: prompt.find(" ")] if " " in prompt else prompt


@cache
def _rest(tokens: int) -> str:
    return "".join(f" word{index:04d}" for index in range(1, tokens))


def text_of(prompt: str, tokens: int) -> str:
    return first_word(prompt) + _rest(tokens)


def usage_json(inputs: int, outputs: int) -> bytes:
    return b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}' % (
        inputs,
        outputs,
        inputs + outputs,
    )


def whole(word: str, inputs: int, tokens: int) -> bytes:
    """An unstreamed answer with its HTTP head."""
    body = (
        b'{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}],"usage":%s}'
        % ((word + _rest(tokens)).encode(), usage_json(inputs, tokens))
    )
    return json_response(body)


def json_response(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def first_event(word: str) -> bytes:
    delta = b'[{"index":0,"delta":{"role":"assistant","content":"%s"},"finish_reason":null}]}' % word.encode()
    return _event(_CHUNK + delta)


@cache
def later_events(tokens: int) -> tuple[bytes, ...]:
    """The other tokens' events, each as an HTTP chunk of its own, as a server that flushes each token sends them."""
    delta = b'[{"index":0,"delta":{"content":" word%04d"},"finish_reason":null}]}'
    return tuple(_event(_CHUNK + delta % index) for index in range(1, tokens))


@cache
def later_events_joined(tokens: int) -> bytes:
    return b"".join(later_events(tokens))


def last_events(inputs: int, tokens: int) -> bytes:
    return (
        _event(_CHUNK + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}')
        + _event(_CHUNK + b'[],"usage":%s}' % usage_json(inputs, tokens))
        + _event(b"[DONE]")
        + b"0\r\n\r\n"
    )


def _event(data: bytes) -> bytes:
    return b"%x\r\ndata: %s\n\n\r\n" % (len(data) + 8, data)
