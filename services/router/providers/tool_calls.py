"""Calls of tools out of the pieces in which servers send them."""

import secrets

import msgspec

from headgate.router.v1 import completion_pb2
from services.router.providers.deltas import LARGEST_STATE, Deltas
from services.router.providers.failures import malformed
from services.router.providers.json_text import UNREADABLE

_NO_ARGUMENTS = "{}"
_MOST_HELD_CHARACTERS = 4 * 1024 * 1024
_MOST_LOOKS = 64


class _Call:
    """`held` is what came before the call could be told: its id, its name and the begin of its arguments."""

    __slots__ = ("held", "id", "index", "is_tentative", "is_told", "looks", "name", "place", "state", "told")

    def __init__(self, place: int, index: int | None) -> None:
        self.place = place
        self.index = index
        self.id = self.name = self.state = ""
        self.held: list[str] = []
        self.is_tentative = False
        self.is_told = False
        self.told: list[str] = []
        self.looks = 0

    def take_name(self, name: str) -> None:
        """Some repeat the name in each piece, some split it, and some send what they have of it each time."""
        if self.is_told or name == self.name or (self.name and self.held):
            return
        self.name = name if name.startswith(self.name) else self.name + name

    def hold(self, arguments: str, *, is_tentative: bool) -> None:
        if self.is_tentative and arguments.lstrip().startswith("{"):
            self.held.clear()
        self.is_tentative = is_tentative or (not self.held and arguments.strip() == _NO_ARGUMENTS)
        self.held.append(arguments)

    @property
    def can_be_told(self) -> bool:
        return bool(
            self.id and self.name and self.held and not self.is_tentative and self.held[0].lstrip()[:1] == "{"
        )

    @property
    def has_arguments(self) -> bool:
        """Whether its arguments are whole. Asked where a piece may be of this call or of another."""
        self.looks += 1
        text = "".join(self.told or self.held)
        return self.looks < _MOST_LOOKS and text.rstrip().endswith("}") and _object_in(text) is not None


class ToolCalls:
    """Of one answer. A call is known by its id, then by its index, then by its order."""

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}
        self.held = 0
        """Characters of arguments, so far, of calls that wait for their id, their name or their end."""

    def take(
        self,
        deltas: Deltas,
        *,
        index: int | None,
        call_id: str,
        name: str,
        arguments: str,
        is_tentative: bool = False,
    ) -> int | None:
        """A piece of a call, and the call's place. `is_tentative` arguments count only when no others follow.

        :raises ProviderError: MALFORMED, when no end of what can't be told yet is in sight
        """
        if index is None and not (call_id or name or arguments):
            return None
        call = self._find(index, call_id, name, arguments)
        deltas.count(len(name) + len(arguments))
        if name:
            call.take_name(name)
        if call.is_told:
            if arguments:
                call.told.append(arguments)
                self._tell(
                    deltas, completion_pb2.ToolCallDelta(index=call.place, arguments_fragment=arguments)
                )
            return call.place
        if arguments and not (arguments.isspace() and (call.is_tentative or not call.held)):
            call.hold(arguments, is_tentative=is_tentative)
            self.held += len(arguments)
        if call.can_be_told:
            self._open(call, "".join(call.held), deltas)
        elif self.held > _MOST_HELD_CHARACTERS:
            raise malformed("a tool call whose id and name did not come")
        return call.place

    def keep_state(self, place: int, state_json: str, deltas: Deltas) -> None:
        """What the provider wants back with a call."""
        call = self._calls[place]
        if len(state_json) > LARGEST_STATE or state_json == call.state:
            return
        call.state = state_json
        if call.is_told:
            self._tell(deltas, completion_pb2.ToolCallDelta(index=place, state_json=state_json))

    def close(self, deltas: Deltas, index: int | None = None) -> None:
        """All calls are whole, or the one of an index: what was held is told."""
        for call in self._calls if index is None else filter(None, [self._by_index.get(index)]):
            if not call.is_told and (call.id or call.name or call.held):
                self._open(call, _as_object("".join(call.held)), deltas)

    @property
    def have_begun(self) -> bool:
        return bool(self._calls)

    @property
    def are_told(self) -> bool:
        return any(call.is_told for call in self._calls)

    def _find(self, index: int | None, call_id: str, name: str, arguments: str) -> _Call:
        last = self._by_index.get(index) if index is not None else self._calls[-1] if self._calls else None
        is_next = last is None or bool(
            name and last.name and (arguments or name != last.name) and last.has_arguments
        )
        if not call_id:
            return self._begin(index, "") if last is None or is_next else last
        known = self._by_id.get(call_id)
        if known is not None:
            is_same = not name or index is None or known.index in (None, index)
            return known if is_same else self._begin(index, call_id)
        if last is not None and not last.id and not is_next:
            self._name_by_id(last, call_id)
            return last
        has_begun = index is not None or (last is not None and (last.held or last.told))
        if last is not None and not name and has_begun and not last.has_arguments:
            return last  # of a server that makes up an id for each piece
        return self._begin(index, call_id)

    def _begin(self, index: int | None, call_id: str) -> _Call:
        call = _Call(len(self._calls), index)
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        if call_id:
            self._name_by_id(call, f"{call_id}_{call.place}" if call_id in self._by_id else call_id)
        return call

    def _name_by_id(self, call: _Call, call_id: str) -> None:
        call.id = call_id
        self._by_id[call_id] = call

    def _open(self, call: _Call, arguments: str, deltas: Deltas) -> None:
        call.is_told = True
        self.held -= sum(map(len, call.held))
        call.told, call.held = [arguments], []
        # A server that gives none would give the same to the calls of other turns.
        call.id = call.id or f"call_{secrets.token_hex(12)}"
        self._tell(
            deltas,
            completion_pb2.ToolCallDelta(
                index=call.place,
                id=call.id,
                name=call.name,
                arguments_fragment=arguments,
                state_json=call.state,
            ),
        )

    def _tell(self, deltas: Deltas, piece: completion_pb2.ToolCallDelta) -> None:
        deltas.tool_call(self._choice, piece)


def _as_object(text: str) -> str:
    """The arguments as a JSON object's text; what is none is what the model wrote, and stays."""
    return _NO_ARGUMENTS if not text.strip() else _object_in(text) or text


def _object_in(text: str) -> str | None:
    """The object's text, also where it is written as a JSON string, or as none; None where there is none."""
    try:
        value = msgspec.json.decode(text.encode())
    except UNREADABLE:
        return None
    if isinstance(value, dict):
        return text
    if value is None or value == "":
        return _NO_ARGUMENTS
    return _object_in(value) if isinstance(value, str) else None
