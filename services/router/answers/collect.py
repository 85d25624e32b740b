"""From the events of a stream to a whole Completion. Pure."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from headgate.chat.v1 import message_pb2
from headgate.router.v1 import completion_pb2


def collect(events: Iterable[completion_pb2.CompletionEvent]) -> completion_pb2.Completion:
    """The completion that a finished stream tells: choices by index, parts in the order in which they began."""
    completion = completion_pb2.Completion()
    choices: dict[int, _Choice] = {}
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "delta":
            _choice(choices, event.delta.choice_index).add(event.delta)
        elif kind == "choice_finished":
            _choice(choices, event.choice_finished.choice_index).finish(event.choice_finished)
        elif kind == "started":
            _copy_started(completion, event.started)
        elif kind == "failed_over":
            if event.failed_over.content_restarts:
                choices.clear()
        elif kind == "finished":
            completion.finished.CopyFrom(event.finished)
    completion.choices.extend(choices[index].build() for index in sorted(choices))
    return completion


def _choice(choices: "dict[int, _Choice]", index: int) -> "_Choice":
    if index not in choices:
        choices[index] = _Choice(index)
    return choices[index]


def _copy_started(completion: completion_pb2.Completion, started: completion_pb2.Started) -> None:
    completion.completion_id = started.completion_id
    completion.requested_model = started.requested_model
    completion.served_model = started.served_model
    completion.provider = started.provider
    completion.cache_status = started.cache_status


class _Choice:
    """One answer while it grows: text in pieces, joined once."""

    def __init__(self, index: int) -> None:
        self._choice = completion_pb2.Choice(index=index)
        self._choice.message.role = message_pb2.ROLE_ASSISTANT
        self._pieces: list[str] = []
        self._kind = ""
        self._calls: dict[int, tuple[message_pb2.ToolCall, list[str]]] = {}
        self._annotations: list[message_pb2.Annotation] = []

    def add(self, delta: completion_pb2.Delta) -> None:
        kind = delta.WhichOneof("content")
        if delta.logprobs:
            self._choice.logprobs.extend(delta.logprobs)
        self._annotations.extend(delta.annotations)
        if kind == "tool_call":
            self._add_call(delta.tool_call)
        elif kind == "reasoning":
            self._add_reasoning(delta.reasoning)
        elif kind is not None:
            self._switch("text")
            self._pieces.append(delta.text if kind == "text" else delta.refusal)

    def finish(self, finished: completion_pb2.ChoiceFinished) -> None:
        self._choice.finish_reason = finished.finish_reason
        self._choice.raw_reason = finished.raw_reason

    def build(self) -> completion_pb2.Choice:
        self._switch("")
        for _, (call, fragments) in sorted(self._calls.items()):
            call.arguments_json = "".join(fragments)
            self._choice.message.parts.add().tool_call.CopyFrom(call)
        self._annotate()
        return self._choice

    def _annotate(self) -> None:
        """Each text has the sources that begin in it; those of no place in particular are the last one's."""
        texts = [part for part in self._choice.message.parts if part.HasField("text")]
        begins = list(accumulate((len(part.text) for part in texts), initial=0))
        for each in self._annotations if texts else ():
            at = (
                min(bisect_right(begins, each.start_index), len(texts)) - 1
                if each.end_index
                else len(texts) - 1
            )
            kept = texts[at].annotations.add()
            kept.CopyFrom(each)
            if each.end_index:
                kept.start_index -= begins[at]
                kept.end_index -= begins[at]

    def _switch(self, kind: str) -> None:
        if kind == self._kind:
            return
        text = "".join(self._pieces)
        if self._kind == "text" and text:
            self._choice.message.parts.add(text=text)
        elif self._kind == "reasoning":
            self._choice.message.parts[-1].reasoning.text = text
        self._pieces, self._kind = [], kind

    def _add_reasoning(self, reasoning: message_pb2.Reasoning) -> None:
        if self._kind != "reasoning" or self._begins_block(reasoning):
            self._switch("")
            self._kind = "reasoning"
            self._choice.message.parts.add().reasoning.SetInParent()
        self._pieces.append(reasoning.text)
        part = self._choice.message.parts[-1].reasoning
        part.signature = reasoning.signature
        part.redacted_data = reasoning.redacted_data
        part.state_json = reasoning.state_json
        part.provider = reasoning.provider or part.provider

    def _begins_block(self, reasoning: message_pb2.Reasoning) -> bool:
        # What a provider wants back ends a block: what follows is a block of its own.
        last = self._choice.message.parts[-1].reasoning
        return bool(last.signature or last.redacted_data or last.state_json or reasoning.redacted_data)

    def _add_call(self, delta: completion_pb2.ToolCallDelta) -> None:
        if delta.index not in self._calls:
            self._calls[delta.index] = (message_pb2.ToolCall(), [])
        call, fragments = self._calls[delta.index]
        call.id = call.id or delta.id
        call.name = call.name or delta.name
        call.state_json = delta.state_json or call.state_json
        call.provider = delta.provider or call.provider
        fragments.append(delta.arguments_fragment)
