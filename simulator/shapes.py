"""An answer in the shapes that servers which call themselves compatible give it. What it says is the same."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from simulator.frame import Frame

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens")
_REASONS = ("finish_reason", "stop_reason")


@dataclass(frozen=True, slots=True)
class Shape:
    """`change` is made to each JSON object of an answer, in place; `write` to the bytes of each event, of which the last is told."""

    change: Callable[[dict[str, Any]], None] | None = None
    write: Callable[[bytes, bool], bytes] | None = None


def shape_frames(frames: Iterable[Frame], shape: Shape, *, are_last: bool) -> Iterator[Frame]:
    held: Frame | None = None
    for frame in frames:
        if held is not None:
            yield _frame(held, shape, is_last=False)
        held = frame
    if held is not None:
        yield _frame(held, shape, is_last=are_last)


def _frame(frame: Frame, shape: Shape, *, is_last: bool) -> Frame:
    data, tokens = frame
    begin, mark, text = data.partition(b"data: ")
    if text.startswith(b"{"):
        data = begin + mark + shape_body(text.rstrip(b"\n"), shape) + b"\n\n"
    return (shape.write(data, is_last) if shape.write and data else data), tokens


def shape_body(text: bytes, shape: Shape) -> bytes:
    if shape.change is None:
        return text
    value = msgspec.json.decode(text, type=dict)
    shape.change(value)
    return msgspec.json.encode(value)


def _everywhere(value: Any, names: tuple[str, ...], make: Callable[[Any], Any]) -> None:
    """Each field of one of the names that has a value."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in names and each is not None:
                value[name] = make(each)
            else:
                _everywhere(each, names, make)
    elif isinstance(value, list):
        for each in value:
            _everywhere(each, names, make)


def _fields(*names: str, make: Callable[[Any], Any]) -> Shape:
    return Shape(change=lambda value: _everywhere(value, names, make))


def _put(name: str, value: Any, answer: dict[str, Any]) -> None:
    answer[name] = value


def _for_messages(change: Callable[[dict[str, Any]], None], answer: dict[str, Any]) -> None:
    """OpenAI's messages and deltas."""
    for choice in answer.get("choices", ()):
        for name in ("delta", "message"):
            if isinstance(choice.get(name), dict):
                change(choice[name])


def _in_parts(message: dict[str, Any]) -> None:
    if isinstance(message.get("content"), str):
        message["content"] = [{"type": "text", "text": message["content"]}]


def _one_index(answer: dict[str, Any]) -> None:
    for call in _calls(answer):
        if "index" in call:
            call["index"] = 0
    if "index" in answer:
        answer["index"] = 0


def _calls(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for choice in answer.get("choices", ()):
        for said in (choice.get("delta"), choice.get("message")):
            yield from (said or {}).get("tool_calls") or ()


def _no_index(answer: dict[str, Any]) -> None:
    for call in _calls(answer):
        call.pop("index", None)


def _read_arguments(answer: dict[str, Any]) -> None:
    for call in _calls(answer):
        arguments = call.get("function", {}).get("arguments", "")
        if arguments.startswith("{") and arguments.endswith("}"):
            call["function"]["arguments"] = msgspec.json.decode(arguments)


def _odd_logprobs(answer: dict[str, Any]) -> None:
    for choice in answer.get("choices", ()):
        choice["logprobs"] = -0.5


def _between(extra: bytes, data: bytes, is_last: bool) -> bytes:
    return data if is_last else data + extra


SHAPES: Mapping[str, Shape] = {
    "counts-as-text": _fields(*_COUNTS, make=str),
    "counts-as-fractions": _fields(*_COUNTS, make=float),
    "counts-of-zero": _fields(*_COUNTS, make=lambda _: 0),
    "empty-error": Shape(change=partial(_put, "error", {})),
    "odd-logprobs": Shape(change=_odd_logprobs),
    "text-parts": Shape(change=partial(_for_messages, _in_parts)),
    "no-reason": _fields(*_REASONS, make=lambda _: None),
    "reason-in-capitals": _fields(*_REASONS, make=str.upper),
    "reason-error": _fields(*_REASONS, make=lambda _: "error"),
    "calls-at-one-index": Shape(change=_one_index),
    "calls-without-index": Shape(change=_no_index),
    "arguments-as-objects": Shape(change=_read_arguments),
    "no-terminator": Shape(write=lambda data, is_last: b"" if is_last else data),
    "no-last-newline": Shape(write=lambda data, is_last: data.rstrip(b"\n") if is_last else data),
    "pings": Shape(write=partial(_between, b": alive\n\ndata:\n\nevent: ping\ndata: {}\n\n")),
    "carriage-returns": Shape(write=lambda data, _: data.replace(b"\n", b"\r\n")),
}
