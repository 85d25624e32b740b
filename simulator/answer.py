"""What the model says: a task, in terms that both APIs share, becomes reasoning, text or tool calls, in tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from typing import Any

import msgspec

from simulator.behaviour import Behaviour
from simulator.json_example import JsonExample
from simulator.text import count_tokens, natural_length, pieces, seed_of, write_words


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a prompt; an API may mark one as the end of what is to be cached."""

    text: str
    tokens: int
    marked: bool = False

    @classmethod
    def of(cls, text: str, *, marked: bool = False) -> "Segment":
        return cls(text, count_tokens(text), marked)


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    seed: int
    asked: str = ""
    """The user's latest words; `call:<tool>` in them calls that tool. Empty when the latest turn is not the user's."""
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    parallel_calls: bool = True
    schema: dict[str, Any] | None = None
    """The answer is JSON that satisfies this."""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_tokens: int = 0


class Finish(Enum):
    STOP = auto()
    STOP_SEQUENCE = auto()
    LENGTH = auto()
    TOOL_CALLS = auto()


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. Its name is one token, and so is each piece of its arguments."""

    id: str
    name: str
    arguments: list[str]


@dataclass(frozen=True, slots=True)
class Answer:
    reasoning: list[str]
    text: list[str]
    calls: list[Call]
    finish: Finish
    stop_sequence: str | None = None

    @property
    def tokens(self) -> int:
        return len(self.reasoning) + len(self.text) + sum(1 + len(call.arguments) for call in self.calls)


def counted(segments: Iterable[Segment], behaviour: Behaviour) -> int:
    """The prompt's tokens."""
    if behaviour.count_input is not None:
        return behaviour.count_input
    return sum(segment.tokens for segment in segments)


def segments_seed(segments: Iterable[Segment], *others: str | int | None) -> int:
    return seed_of(*(segment.text for segment in segments), *others)


def compose(task: Task, behaviour: Behaviour, choice: int = 0) -> Answer:
    seed = seed_of(task.seed, choice)
    budget = _Budget(task.max_tokens)
    wanted = task.reasoning_tokens if behaviour.reasoning_tokens is None else behaviour.reasoning_tokens
    reasoning = budget.take(write_words(seed_of(seed, "reasoning"), wanted))
    tools = _called(task)
    if tools:
        calls = [call for position, tool in enumerate(tools) for call in _call(tool, seed, position, budget)]
        return Answer(reasoning, [], calls, Finish.LENGTH if budget.exceeded else Finish.TOOL_CALLS)
    text, stopped_by = _until_stop(budget.take(_text(task, behaviour, seed)), task.stop)
    if stopped_by is not None:
        return Answer(reasoning, text, [], Finish.STOP_SEQUENCE, stopped_by)
    return Answer(reasoning, text, [], Finish.LENGTH if budget.exceeded else Finish.STOP)


class _Budget:
    def __init__(self, tokens: int | None) -> None:
        self._left = tokens
        self.exceeded = False

    def take(self, tokens: list[str]) -> list[str]:
        if self._left is None:
            return tokens
        taken = tokens[: self._left]
        self._left -= len(taken)
        self.exceeded = self.exceeded or len(taken) < len(tokens)
        return taken


def _text(task: Task, behaviour: Behaviour, seed: int) -> list[str]:
    if task.schema is not None:
        return pieces(msgspec.json.encode(JsonExample(task.schema, seed).value()).decode())
    return write_words(seed, natural_length(seed) if behaviour.tokens is None else behaviour.tokens)


def _until_stop(text: list[str], stop: tuple[str, ...]) -> tuple[list[str], str | None]:
    if not stop:
        return text, None
    whole = "".join(text)
    found = [(at, sequence) for sequence in stop if sequence and (at := whole.find(sequence)) >= 0]
    if not found:
        return text, None
    at, sequence = min(found)
    return pieces(whole[:at]), sequence


def _called(task: Task) -> list[Tool]:
    named = [tool for tool in task.tools if _mentions(task.asked, tool.name)]
    if not named and task.must_call:
        named = list(task.tools[:1])
    return named if task.parallel_calls else named[:1]


def _mentions(asked: str, tool: str) -> bool:
    return f"call:{tool}" in (word.rstrip(".,;!?") for word in asked.split())


def _call(tool: Tool, seed: int, position: int, budget: _Budget) -> Iterable[Call]:
    own_seed = seed_of(seed, tool.name, position)
    arguments = msgspec.json.encode(JsonExample(tool.schema, own_seed).value()).decode()
    taken = budget.take(list(chain([tool.name], pieces(arguments))))
    if taken:
        yield Call(f"{own_seed:016x}", tool.name, taken[1:])
