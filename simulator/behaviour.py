"""How one request is to be served, and the one parser for knobs from headers, model names and the control endpoint.

Knobs are written `name=value`: in a model name as `sim-small@ttft=200ms,gap=5ms`, in headers as
`x-simulator-ttft: 200ms`, at the control endpoint as `{"faults": {"ttft": "200ms"}}`. README.md lists them.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from simulator.shapes import SHAPES, Shape

HEADER_PREFIX = "x-simulator-"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|)")
_UNIT_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "": 1.0}
_FLAGS = {"": True, "1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_LONGEST_ANSWER = 1_000_000

Pairs = Iterable[tuple[str, str]]


class BehaviourError(ValueError):
    """A knob that does not exist, or a value that it does not take."""


class Interruption(StrEnum):
    """What ends an answer early, in the order in which it wins when two fall on the same token."""

    CUT = "cut"
    HANG = "hang"
    MALFORMED = "malformed"
    ERROR = "error"
    END = "end"


@dataclass(frozen=True, slots=True)
class Behaviour:
    ttft_seconds: float = 0.0
    """From the request to the first token."""
    gap_seconds: float = 0.0
    """From each token to the next."""
    tokens: int | None = None
    """The length of the text; `max_tokens` and stop sequences of the request still apply."""
    reasoning_tokens: int | None = None
    hide_reasoning: bool = False
    """Reasoning is counted and takes its time, but its text is not sent."""
    cached_tokens: int = 0
    """How much of the prompt is reported as read from a cache."""
    status: int | None = None
    """Refuse with this HTTP status instead of answering."""
    retry_after_seconds: float | None = None
    hang: bool = False
    """Never answer."""
    garbage: bool = False
    """Answer 200 with something that is not JSON."""
    count_input: int | None = None
    """How many tokens the prompt is counted as, whatever it is."""
    tier: str | None = None
    """The service tier that the answer says it was served with. None: the API's standard."""
    late_usage_seconds: float = 0.0
    """How long after the rest of a stream its usage, and with it the stream's end, comes."""
    usage_twice: bool = False
    """Tell the usage of a stream twice, the same."""
    shape: Shape | None = None
    """How the answer is written down: as a server that differs would."""
    no_usage: bool = False
    """Leave the usage out at the end."""
    cut_after: int | None = None
    """Close the connection after this many tokens."""
    hang_after: int | None = None
    """Send nothing more after this many tokens, and keep the connection."""
    malformed_after: int | None = None
    """Send an event that is not JSON after this many tokens, and end."""
    error_after: int | None = None
    """Send the API's error event after this many tokens, and end."""
    end_after: int | None = None
    """End the stream properly after this many tokens, with no finish reason and no usage."""

    def interruption(self) -> tuple[Interruption, int] | None:
        """What ends the answer early and after how many tokens; None when nothing does."""
        after = ((kind, getattr(self, f"{kind}_after")) for kind in Interruption)
        asked = [(kind, tokens) for kind, tokens in after if tokens is not None]
        return min(asked, key=lambda each: each[1], default=None)


NORMAL = Behaviour()


def parse(pairs: Pairs, onto: Behaviour = NORMAL) -> Behaviour:
    """`onto`, changed by the pairs in order; the last value of a knob wins.

    :raises BehaviourError: for an unknown knob or a value that it does not take
    """
    changes: dict[str, Any] = {}
    for name, value in pairs:
        changes.update(_change(name.strip().lower().replace("_", "-"), value.strip()))
    return replace(onto, **changes) if changes else onto


def split_model(name: str) -> tuple[str, list[tuple[str, str]]]:
    """A model name without its knobs, and the knobs."""
    model, _, suffix = name.partition("@")
    knobs = [knob.partition("=") for knob in suffix.split(",") if knob.strip()]
    return model, [(knob, value) for knob, _, value in knobs]


def header_pairs(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    start = len(HEADER_PREFIX)
    return [(name[start:], value) for name, value in headers.items() if name[:start].lower() == HEADER_PREFIX]


def _change(name: str, value: str) -> dict[str, Any]:
    if name not in KNOBS:
        raise BehaviourError(f"unknown knob '{name}'; known are {', '.join(sorted(KNOBS))}")
    try:
        return KNOBS[name](value)
    except ValueError as error:
        raise BehaviourError(f"knob '{name}' does not take '{value}': {error}") from error


def _seconds(value: str) -> float:
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError("expected a duration such as 200ms, 1.5s or 2")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit()) or int(value) > _LONGEST_ANSWER:
        raise ValueError(f"expected a whole number from 0 to {_LONGEST_ANSWER}")
    return int(value)


def _status(value: str) -> int:
    if not re.fullmatch(r"[45]\d\d", value):
        raise ValueError("expected an HTTP status from 400 to 599")
    return int(value)


def _word(value: str) -> str:
    if not re.fullmatch(r"[a-z_]{1,32}", value):
        raise ValueError("expected a word of small letters")
    return value


def _shape(value: str) -> Shape:
    if value not in SHAPES:
        raise ValueError(f"known are {', '.join(SHAPES)}")
    return SHAPES[value]


def _flag(value: str) -> bool:
    if value.lower() not in _FLAGS:
        raise ValueError("expected true or false")
    return _FLAGS[value.lower()]


def _slow(value: str) -> dict[str, Any]:
    return {"ttft_seconds": 2.0, "gap_seconds": 0.2} if _flag(value) else {}


def _field(field: str, convert: Callable[[str], Any]) -> Callable[[str], dict[str, Any]]:
    return lambda value: {field: convert(value)}


KNOBS: dict[str, Callable[[str], dict[str, Any]]] = {
    "ttft": _field("ttft_seconds", _seconds),
    "gap": _field("gap_seconds", _seconds),
    "slow": _slow,
    "tokens": _field("tokens", _count),
    "reasoning": _field("reasoning_tokens", _count),
    "hide-reasoning": _field("hide_reasoning", _flag),
    "cached": _field("cached_tokens", _count),
    "status": _field("status", _status),
    "retry-after": _field("retry_after_seconds", _seconds),
    "hang": _field("hang", _flag),
    "garbage": _field("garbage", _flag),
    "count-input": _field("count_input", _count),
    "tier": _field("tier", _word),
    "late-usage": _field("late_usage_seconds", _seconds),
    "usage-twice": _field("usage_twice", _flag),
    "shape": _field("shape", _shape),
    "no-usage": _field("no_usage", _flag),
    "cut-after": _field("cut_after", _count),
    "hang-after": _field("hang_after", _count),
    "malformed-after": _field("malformed_after", _count),
    "error-after": _field("error_after", _count),
    "end-after": _field("end_after", _count),
}
