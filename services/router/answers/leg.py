"""One attempt at one target: what it used, how it ended, and how both are told to the ledger and to the client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headgate.billing.v1 import usage_pb2 as billing_usage
from headgate.chat.v1 import finish_reason_pb2
from headgate.common.v1 import cache_status_pb2, caller_pb2, outcome_pb2, usage_pb2
from headgate.router.v1 import completion_pb2
from services.router.targets.catalog import Target
from services.router.targets.provider import Chunk, FailureKind
from services.router.targets.service_tier import billed_tier

# Failures after which the provider has served nothing, unless it already said what.
_NOTHING_SERVED = frozenset(
    {
        FailureKind.CONNECT,
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.CREDENTIAL,
        FailureKind.MODEL_NOT_FOUND,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.FILTERED,
        FailureKind.UNAFFORDABLE,
        FailureKind.REJECTED,
    }
)
_OUTCOMES = {
    finish_reason_pb2.FINISH_REASON_LENGTH: outcome_pb2.OUTCOME_TRUNCATED,
    finish_reason_pb2.FINISH_REASON_CONTENT_FILTER: outcome_pb2.OUTCOME_FILTERED,
}


@dataclass(slots=True)
class Leg:
    """An attempt in progress. Times are nanoseconds since the epoch."""

    attempt_id: str
    target: Target
    start_ns: int
    estimated_input_tokens: int
    most_output_tokens: int | None = None
    """What the provider was asked for at the most, over all choices; None: it was not bound."""
    first_token_ns: int | None = None
    end_ns: int | None = None
    pieces: int = 0
    characters: int = 0
    reported: usage_pb2.TokenUsage | None = None
    outcome: outcome_pb2.Outcome.ValueType = outcome_pb2.OUTCOME_UNSPECIFIED
    error: str = ""
    service_tier: str = ""
    opened: bool = False
    finished: set[int] = field(default_factory=set)
    _is_cut: bool = False
    _finish: outcome_pb2.Outcome.ValueType = outcome_pb2.OUTCOME_COMPLETE
    _nothing_served: bool = False

    def take(self, chunk: Chunk, now_ns: int) -> None:
        """Account for what the provider sent."""
        self.pieces += chunk.output_pieces
        self.characters += chunk.characters
        if chunk.usage is not None:
            self.reported = chunk.usage
        self.service_tier = chunk.service_tier or self.service_tier
        if chunk.events and self.first_token_ns is None:
            self.first_token_ns = now_ns
        for event in chunk.events:
            if event.HasField("choice_finished"):
                self.finished.add(event.choice_finished.choice_index)
                self._finish = _OUTCOMES.get(event.choice_finished.finish_reason, self._finish)

    def cut(self, choice_count: int) -> list[completion_pb2.CompletionEvent]:
        """Nothing more is taken: the ends of the choices that the provider has not ended."""
        self._is_cut = True
        self.error = "it went on beyond what it was asked for, and was ended"
        reason = finish_reason_pb2.FINISH_REASON_LENGTH
        ends = [
            completion_pb2.ChoiceFinished(choice_index=index, finish_reason=reason)
            for index in range(choice_count)
            if index not in self.finished
        ]
        return [completion_pb2.CompletionEvent(choice_finished=end) for end in ends]

    def complete(self, now_ns: int) -> None:
        self._end(outcome_pb2.OUTCOME_TRUNCATED if self._is_cut else self._finish, now_ns)

    def fail(self, kind: FailureKind, message: str, now_ns: int) -> None:
        self.error = f"{kind}: {message}"
        self._nothing_served = kind in _NOTHING_SERVED
        self._end(outcome_pb2.OUTCOME_FAILED, now_ns)

    def stop(self, outcome: outcome_pb2.Outcome.ValueType, now_ns: int) -> None:
        self._end(outcome, now_ns)

    def _end(self, outcome: outcome_pb2.Outcome.ValueType, now_ns: int) -> None:
        self.outcome, self.end_ns = outcome, now_ns

    @property
    def whole(self) -> bool:
        return (
            not self._is_cut
            and self.outcome not in (outcome_pb2.OUTCOME_UNSPECIFIED, outcome_pb2.OUTCOME_FAILED)
            and (self.outcome == self._finish)
        )

    @property
    def has_input_count(self) -> bool:
        return self.reported is not None and self.reported.input_tokens > 0

    @property
    def progress(self) -> int:
        """Grows with what the provider sends, and with what it counts: reasoning may be counted long before a piece comes."""
        return self.pieces + (self.reported.total_tokens if self.reported is not None else 0)

    def usage(self) -> usage_pb2.TokenUsage:
        """What the attempt used: the provider's count where it can be believed, else an estimate that says so.

        A prompt has tokens, and so has what was said: a 0 for either is no count. An attempt that broke off is counted by its
        pieces where the provider had not counted as far. One that the provider never served used nothing.
        """
        reported = self.reported
        if reported is not None and self._is_believable(reported):
            return reported
        pieces = self._estimated_output()
        usage = usage_pb2.TokenUsage(source=usage_pb2.USAGE_SOURCE_ESTIMATED)
        if reported is not None:
            usage.CopyFrom(reported)
            usage.source = usage_pb2.USAGE_SOURCE_ESTIMATED
            usage.input_tokens = reported.input_tokens or self.estimated_input_tokens
            usage.output_tokens = max(reported.output_tokens, pieces)
        elif self._nothing_served and not self.pieces:
            usage.source = usage_pb2.USAGE_SOURCE_PROVIDER
        else:
            usage.input_tokens = self.estimated_input_tokens
            usage.output_tokens = pieces
        usage.total_tokens = usage.input_tokens + usage.output_tokens
        return usage

    def _estimated_output(self) -> int:
        """By its pieces, and no more than was held for: small pieces are no proof that the provider ignored its bound."""
        if self.most_output_tokens is None or self._is_cut:
            return self.pieces
        return min(self.pieces, self.most_output_tokens)

    def _is_believable(self, reported: usage_pb2.TokenUsage) -> bool:
        if not reported.input_tokens:
            return False
        if reported.output_tokens >= self.pieces:
            return True
        return reported.output_tokens > 0 and (
            self.whole or reported.output_tokens >= self._estimated_output()
        )

    def record(
        self,
        completion_id: str,
        caller: caller_pb2.Caller,
        request: completion_pb2.CompletionRequest,
        *,
        looked: bool,
    ) -> billing_usage.UsageRecord:
        """The attempt's row for the ledger."""
        record = billing_usage.UsageRecord(
            attempt_id=self.attempt_id,
            completion_id=completion_id,
            caller=caller,
            provider=self.target.billed_as,
            model=self.target.model,
            usage=self.usage(),
            outcome=self.outcome,
            cache_status=cache_status_pb2.CACHE_STATUS_MISS
            if looked
            else cache_status_pb2.CACHE_STATUS_BYPASS,
        )
        describe(record, request, self.start_ns, self.end_ns or self.start_ns)
        record.service_tier = billed_tier(request.service_tier, self.service_tier)
        if self.first_token_ns is not None:
            record.time_to_first_token.FromNanoseconds(self._until_first_token_ns(self.first_token_ns))
        return record

    def attempt(self) -> completion_pb2.Attempt:
        """The attempt as the client is told of it."""
        attempt = completion_pb2.Attempt(
            attempt_id=self.attempt_id,
            target_id=self.target.target_id,
            provider=self.target.billed_as,
            model=self.target.model,
            outcome=self.outcome,
            usage=self.usage(),
            error=self.error,
        )
        attempt.duration.FromNanoseconds(max(0, (self.end_ns or self.start_ns) - self.start_ns))
        if self.first_token_ns is not None:
            attempt.time_to_first_token.FromNanoseconds(self._until_first_token_ns(self.first_token_ns))
        return attempt

    def _until_first_token_ns(self, first_token_ns: int) -> int:
        """Billing refuses a negative one, and a clock that was set back must not make an attempt free."""
        return max(0, first_token_ns - self.start_ns)


def describe(
    record: billing_usage.UsageRecord, request: completion_pb2.CompletionRequest, start_ns: int, end_ns: int
) -> None:
    """What a row says of its request, whoever served it."""
    record.requested_model = request.model
    record.end_user_id = request.end_user_id
    record.service_tier = billed_tier(request.service_tier, "")
    labels: Mapping[str, str] = request.labels
    record.labels.update(labels)
    record.start_time.FromNanoseconds(start_ns)
    record.end_time.FromNanoseconds(end_ns)


def total_usage(usages: Sequence[usage_pb2.TokenUsage]) -> usage_pb2.TokenUsage:
    """The sum over attempts; estimated when any of them is."""
    if len(usages) == 1:
        return usages[0]
    total = usage_pb2.TokenUsage(source=usage_pb2.USAGE_SOURCE_PROVIDER)
    for usage in usages:
        total.input_tokens += usage.input_tokens
        total.output_tokens += usage.output_tokens
        total.total_tokens += usage.total_tokens
        total.cache_read_input_tokens += usage.cache_read_input_tokens
        total.cache_write_input_tokens += usage.cache_write_input_tokens
        total.reasoning_output_tokens += usage.reasoning_output_tokens
        if usage.source == usage_pb2.USAGE_SOURCE_ESTIMATED:
            total.source = usage.source
    return total
