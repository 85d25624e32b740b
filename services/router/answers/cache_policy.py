"""Which requests may be answered from the cache, which answers may be kept, and what identifies a question. Pure."""

from collections.abc import Sequence
from typing import Final

from headgate.chat.v1 import finish_reason_pb2
from headgate.common.v1 import outcome_pb2
from headgate.router.v1 import completion_pb2
from services.router.answers.merging import merged

# Who asks, how it is accounted, and how it may be routed and cached do not determine the answer. The model does, and is a
# part of the key on its own, resolved.
NOT_CONTENT: Final = (
    "model",
    "request_id",
    "labels",
    "end_user_id",
    "cache",
    "fallback_models",
    "service_tier",
)
_KEPT_TEXT = 1024
_WHOLE_ENDS = (finish_reason_pb2.FINISH_REASON_STOP, finish_reason_pb2.FINISH_REASON_TOOL_CALLS)


def may_look(request: completion_pb2.CompletionRequest) -> bool:
    """Whether an earlier answer may be served."""
    mode = request.cache.mode
    if mode == completion_pb2.CACHE_MODE_UNSPECIFIED:
        return is_deterministic(request)
    return mode == completion_pb2.CACHE_MODE_ON


def may_keep(request: completion_pb2.CompletionRequest) -> bool:
    """Whether the answer may be kept, as far as the request says."""
    return may_look(request) or request.cache.mode == completion_pb2.CACHE_MODE_REFRESH


def is_deterministic(request: completion_pb2.CompletionRequest) -> bool:
    """Asked again, the same answer is meant: greedy sampling, or a seed."""
    return (request.HasField("temperature") and request.temperature == 0) or request.HasField("seed")


def is_worth_keeping(
    request: completion_pb2.CompletionRequest,
    outcome: int,
    events: Sequence[completion_pb2.CompletionEvent],
) -> bool:
    """Only whole answers: nothing cut, filtered, refused, failed or of an unknown end, and tool calls only on request."""
    if outcome != outcome_pb2.OUTCOME_COMPLETE:
        return False
    wanted = _WHOLE_ENDS if request.cache.mode == completion_pb2.CACHE_MODE_ON else _WHOLE_ENDS[:1]
    ends = [event.choice_finished.finish_reason for event in events if event.HasField("choice_finished")]
    if len(ends) < (request.choice_count or 1) or not all(end in wanted for end in ends):
        return False
    # Servers that know no word for it end a refusal as any other answer.
    return all(event.delta.WhichOneof("content") != "refusal" for event in events)


def content_of(request: completion_pb2.CompletionRequest) -> bytes:
    """Everything that determines the answer, but the model, as canonical bytes.

    What a model is shown in another order is another question: messages, tools, and the text of a tool's JSON schema.
    Options of the provider, which are one JSON object, are the same in any order.

    Protobuf's deterministic serialisation: it can be parsed back, so two different questions never share bytes, and
    field presence is kept (temperature 0 is not an absent temperature). Source: protobuf.dev, "Proto Serialization Is
    Not Canonical": equal bytes are promised within one binary; elsewhere a difference only costs a miss.
    """
    content = completion_pb2.CompletionRequest()
    content.CopyFrom(request)
    for field in NOT_CONTENT:
        content.ClearField(field)
    return content.SerializeToString(deterministic=True)


def coalesce(events: Sequence[completion_pb2.CompletionEvent]) -> list[completion_pb2.CompletionEvent]:
    """The answer as it is kept: unnumbered, its text in pieces of about 1 KB, so that a hit streams too."""
    return [_unnumbered(event) for event in merged(events, _KEPT_TEXT)]


def _unnumbered(event: completion_pb2.CompletionEvent) -> completion_pb2.CompletionEvent:
    if not event.sequence:
        return event
    kept = completion_pb2.CompletionEvent()
    kept.CopyFrom(event)
    kept.sequence = 0
    return kept
