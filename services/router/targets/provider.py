"""The port to model providers: what an adapter does, what it yields, and how it may fail."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from headgate.common.v1 import usage_pb2
from headgate.router.v1 import completion_pb2
from services.router.holding import Share


class FailureKind(StrEnum):
    """How a provider failed. The kind decides whether another target is tried and whether this one is to blame."""

    CONNECT = "connect"  # no connection, or it broke before the answer began
    TIMEOUT = "timeout"  # connect, first token or the gap between two took too long
    RATE_LIMITED = "rate_limited"  # 429; retry_after_seconds where the provider says
    OVERLOADED = "overloaded"  # 5xx, 529
    INTERRUPTED = "interrupted"  # the answer broke off without its end
    MALFORMED = "malformed"  # the answer is not what the protocol says
    CREDENTIAL = (
        "credential"  # 401, most 402 and 403: this credential will not work until somebody changes it
    )
    MODEL_NOT_FOUND = "model_not_found"  # 404
    CONTEXT_LENGTH = "context_length"  # the prompt is too long for the model
    FILTERED = "filtered"  # the provider's own filter refused the content: another provider may have another
    UNAFFORDABLE = (
        "unaffordable"  # 402: the provider's credit does not pay for this request, and may for smaller ones
    )
    REJECTED = "rejected"  # any other 4xx: the request is at fault
    NO_ROOM = "no_room"  # a large answer, while this process holds too many bytes of answers


# Another target may do better.
RETRYABLE = frozenset(FailureKind) - {FailureKind.REJECTED, FailureKind.NO_ROOM}
# The target is to blame, so its health suffers.
UNHEALTHY = frozenset(
    {
        FailureKind.CONNECT,
        FailureKind.TIMEOUT,
        FailureKind.OVERLOADED,
        FailureKind.INTERRUPTED,
        FailureKind.MALFORMED,
    }
)


LONGEST_SAID = 2000


class ProviderError(Exception):
    """A provider's failure, translated once by the adapter.

    `message` is in Headgate's words alone, and callers read it. `said` is what the provider said, its first
    characters as they came: it may hold a key, a host's name or commands to a terminal, and is for the operator's log alone.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        said: str = "",
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.said = said[:LONGEST_SAID]
        self.http_status = http_status
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A field of the request that a provider's API can't express, and why."""

    field: str
    reason: str


@dataclass(slots=True)
class Chunk:
    """What one read from the provider brought: everything that arrived together.

    `events` are `delta` and `choice_finished` without `sequence`; neighbouring text of one choice is already merged.
    `usage` is the newest count by the provider, a total so far and not an increment; None while it has said nothing.
    Its source says how far it can be trusted. PROVIDER: everything generated so far is counted. ESTIMATED: the provider has
    counted the input and not yet the output (Anthropic does so at the start of a stream): its output_tokens are a lower
    bound, and an attempt that ends like that has used max(output_tokens, all output_pieces so far), still ESTIMATED.
    `output_pieces` counts the generated pieces (SSE content events, about one token each; a quarter of the characters of an
    unstreamed answer) in this chunk; when the stream ends without usage it is what the estimate is made from. `characters`
    is how long they are together. `service_tier` is the one that the provider says it serves with, as it comes.
    """

    events: list[completion_pb2.CompletionEvent] = field(default_factory=list)
    usage: usage_pb2.TokenUsage | None = None
    output_pieces: int = 0
    characters: int = 0
    service_tier: str = ""


class Provider(Protocol):
    """One provider account: an address, a credential, a connection pool.

    Adapters translate the provider's protocol and its failures; they never retry, never decide, never log.
    """

    def unsupported(self, request: completion_pb2.CompletionRequest) -> Sequence[Unsupported]:
        """What of the request this API can't express. Pure and cheap; empty means that nothing would be dropped."""

    def complete(
        self,
        model: str,
        request: completion_pb2.CompletionRequest,
        *,
        streamed: bool,
        max_output_tokens: int | None,
        request_id: str,
        share: Share,
    ) -> AsyncGenerator[Chunk, None]:
        """The answer to `request` by the provider's `model`, chunk by chunk; unstreamed it is one chunk.

        `request.messages` holds the conversation (never `prompt`). `max_output_tokens` overrides the request's. `share` is
        told what the adapter holds of the answer before it yields it.
        The generator ends only after the provider said that the answer is whole; closing it early (`aclose`) closes the
        connection, so that the provider stops within a second.

        :raises ProviderError: any failure; chunks that were yielded before it stay valid.
        """

    async def count_tokens(self, model: str, request: completion_pb2.CompletionRequest) -> int | None:
        """Input tokens as the provider counts them; None when it has no way to ask.

        :raises ProviderError: any failure.
        """

    async def warm_up(self) -> None:
        """Open a connection, so that the first request does not wait for it. Failure is not an error."""

    async def close(self) -> None:
        """Close every connection."""
