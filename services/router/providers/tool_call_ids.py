"""Ids of tool calls as a target takes them, when a conversation began at another. Pure."""

import re
from collections.abc import Iterable

from headgate.chat.v1 import message_pb2


class ToolCallIds:
    """Keeps what fits and is unique; the rest is named by its order, which a longer conversation doesn't change."""

    def __init__(self, messages: Iterable[message_pb2.Message], fits: re.Pattern[str], made: str) -> None:
        """`made` is a format for an id of a number."""
        self._fits = fits
        self._made = made
        self._used: set[str] = set()
        self._calls: list[str] = []
        self._results: list[str] = []
        waiting: dict[str, list[str]] = {}
        for message in messages:
            if message.role == message_pb2.ROLE_ASSISTANT:
                self._take_calls(message, waiting)
            elif message.role == message_pb2.ROLE_TOOL:
                self._take_results(message, waiting)
        self._next_call, self._next_result = iter(self._calls), iter(self._results)

    def call(self) -> str:
        """Of the next call of the conversation."""
        return next(self._next_call)

    def result(self) -> str:
        """Of the call that the next result answers: the latest of its id."""
        return next(self._next_result)

    def _take_calls(self, message: message_pb2.Message, waiting: dict[str, list[str]]) -> None:
        ids = [part.tool_call.id for part in message.parts if part.HasField("tool_call")]
        waiting |= {call_id: [] for call_id in ids}
        for call_id in ids:
            self._calls.append(self._name(call_id))
            waiting[call_id].append(self._calls[-1])

    def _take_results(self, message: message_pb2.Message, waiting: dict[str, list[str]]) -> None:
        for part in message.parts:
            if part.HasField("tool_result"):
                call_id = part.tool_result.tool_call_id
                names = waiting.get(call_id, [call_id])
                self._results.append(names.pop(0) if len(names) > 1 else names[0])

    def _name(self, call_id: str) -> str:
        name, number = call_id, len(self._calls)
        while name in self._used or not self._fits.fullmatch(name):
            name = self._made.format(number)
            number += 1000
        self._used.add(name)
        return name
