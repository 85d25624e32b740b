"""The content blocks of an Anthropic answer, each whole and as the deltas that make it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import msgspec

from simulator.answer import Answer, Call
from simulator.frame import Frame
from simulator.text import seed_of


@dataclass(frozen=True, slots=True)
class Block:
    whole: dict[str, Any]
    opening: dict[str, Any]
    """The block as it starts, empty."""
    opening_tokens: int
    deltas: Callable[[], Iterator[Frame]]
    """Each delta's JSON with its tokens; a token of hidden reasoning has no bytes."""


def blocks_of(answer: Answer, *, hide_reasoning: bool) -> list[Block]:
    blocks = [_thinking(answer.reasoning, hide=hide_reasoning)] if answer.reasoning else []
    if answer.text:
        blocks.append(_text(answer.text))
    return blocks + [_tool_use(call) for call in answer.calls]


def _thinking(tokens: list[str], *, hide: bool) -> Block:
    text = "".join(tokens)
    signature = f"{seed_of(text):016x}"
    signed = msgspec.json.encode({"type": "signature_delta", "signature": signature})

    def deltas() -> Iterator[Frame]:
        yield from repeat((b"", 1), len(tokens)) if hide else _deltas("thinking_delta", "thinking", tokens)
        yield signed, 0

    whole = {"type": "thinking", "thinking": "" if hide else text, "signature": signature}
    return Block(whole, {"type": "thinking", "thinking": "", "signature": ""}, 0, deltas)


def _text(tokens: list[str]) -> Block:
    deltas = partial(_deltas, "text_delta", "text", tokens)
    return Block({"type": "text", "text": "".join(tokens)}, {"type": "text", "text": ""}, 0, deltas)


def _tool_use(call: Call) -> Block:
    opening = {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": {}}
    whole = opening | {"input": _complete(call)}
    return Block(whole, opening, 1, partial(_deltas, "input_json_delta", "partial_json", call.arguments))


def _complete(call: Call) -> Any:
    """The arguments; none when `max_tokens` left them unfinished."""
    try:
        return msgspec.json.decode("".join(call.arguments))
    except msgspec.DecodeError:
        return {}


def _deltas(kind: str, field: str, tokens: list[str]) -> Iterator[Frame]:
    head = b'{"type":"%s","%s":' % (kind.encode(), field.encode())
    encode = msgspec.json.encode
    return ((head + encode(token) + b"}", 1) for token in tokens)
