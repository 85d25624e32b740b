"""Why a model stopped, in the many words that servers have for it."""

from typing import TypeAlias

from headgate.chat.v1.finish_reason_pb2 import FinishReason
from services.router.targets.provider import FailureKind, ProviderError

Reason: TypeAlias = "FinishReason.ValueType"
# Looking one up in its enum takes longer than all else that is done with it.
UNSPECIFIED = FinishReason.FINISH_REASON_UNSPECIFIED
STOP = FinishReason.FINISH_REASON_STOP
TOOL_CALLS = FinishReason.FINISH_REASON_TOOL_CALLS
REFUSAL = FinishReason.FINISH_REASON_REFUSAL
OTHER = FinishReason.FINISH_REASON_OTHER
_WORDS = {
    STOP: "stop eos eos_token stop_sequence stop_token end_turn complete completed done",
    FinishReason.FINISH_REASON_LENGTH: (
        "length max_tokens max_output_tokens max_new_tokens max_length model_length token_limit"
        " model_context_window_exceeded context_length_exceeded"
    ),
    TOOL_CALLS: "tool_calls tool_call tool_use function_call function_calls",
    FinishReason.FINISH_REASON_CONTENT_FILTER: (
        "content_filter content_filtered content_filtering filtered safety recitation blocklist prohibited_content spii"
        " sensitive guardrail_intervened image_safety"
    ),
    REFUSAL: "refusal refused",
}
_REASONS = {word: reason for reason, words in _WORDS.items() for word in words.split()}
# The answer did not end, it broke: at the server, or between it and what it asked itself.
_FAILURES = {
    "error": FailureKind.INTERRUPTED,
    "abort": FailureKind.INTERRUPTED,
    "aborted": FailureKind.INTERRUPTED,
    "cancelled": FailureKind.INTERRUPTED,
    "canceled": FailureKind.INTERRUPTED,
    "failed": FailureKind.INTERRUPTED,
    "failure": FailureKind.INTERRUPTED,
    "interrupted": FailureKind.INTERRUPTED,
    "network_error": FailureKind.INTERRUPTED,
    "internal_error": FailureKind.OVERLOADED,
    "server_error": FailureKind.OVERLOADED,
    "engine_error": FailureKind.OVERLOADED,
    "timeout": FailureKind.OVERLOADED,
    "overloaded": FailureKind.OVERLOADED,
    "engine_overloaded": FailureKind.OVERLOADED,
    "insufficient_system_resource": FailureKind.OVERLOADED,
}
_UNKNOWN = (UNSPECIFIED, OTHER)


def reason_of(raw: str) -> Reason:
    """OTHER for a word that nobody here knows, UNSPECIFIED for none.

    :raises ProviderError: the word says that the answer broke off
    """
    if not raw:
        return UNSPECIFIED
    if (reason := _REASONS.get(raw)) is not None:
        return reason
    word = raw.lower().replace("-", "_").replace(" ", "_")
    if (kind := _FAILURES.get(word)) is not None:
        raise ProviderError(kind, f"the provider ended the answer with `{word}`")
    return _REASONS.get(word, OTHER)


def says_more(later: Reason, earlier: Reason) -> bool:
    """Of two ends of one answer: servers say `stop` where they say at another place what they stopped for."""
    return later not in _UNKNOWN and earlier in (*_UNKNOWN, STOP)
