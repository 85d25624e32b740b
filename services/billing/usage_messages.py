"""Usage between the contract's messages and the domain's values."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from headgate.billing.v1 import usage_pb2
from headgate.common.v1 import caller_pb2, cost_pb2
from headgate.common.v1 import usage_pb2 as common_usage_pb2
from services._runtime.errors import FieldViolation, InvalidFieldError
from services.billing.pricing import TokenCounts
from services.billing.usage import (
    Caller,
    Cost,
    Dimension,
    Entry,
    UsageFilter,
    UsageRecord,
    UsageSum,
    day_name,
)

_NS = 10**9
# Whole nanoseconds since 1970 in 64 bits end in April 2262.
_MAX_SECONDS = 9_223_372_035
_ESTIMATED = common_usage_pb2.USAGE_SOURCE_ESTIMATED
_PROVIDER = common_usage_pb2.USAGE_SOURCE_PROVIDER


def invalid(field: str, problem: str) -> InvalidFieldError:
    return InvalidFieldError(f"{field}: {problem}", field_violations=[FieldViolation(field, problem)])


def time_ns(message: Timestamp, field: str) -> int:
    """:raises InvalidFieldError: before 1970 or after 2262."""
    seconds, nanos = message.seconds, message.nanos
    if not (0 <= seconds <= _MAX_SECONDS and 0 <= nanos < _NS):
        raise invalid(field, "must be a time between 1970 and 2262")
    return seconds * _NS + nanos


def timestamp(ns: int) -> Timestamp:
    return Timestamp(seconds=ns // _NS, nanos=ns % _NS)


def text(value: str, field: str) -> str:
    """:raises InvalidFieldError: it has a NUL character, which not every store can keep."""
    if "\0" in value:
        raise invalid(field, "must not contain a NUL character")
    return value


def read_caller(message: caller_pb2.Caller, field: str) -> Caller:
    return Caller(
        text(message.organization_id, f"{field}.organization_id"),
        text(message.user_id, f"{field}.user_id"),
        text(message.key_id, f"{field}.key_id"),
    )


def read_record(message: usage_pb2.UsageRecord, path: str) -> UsageRecord:
    """:raises InvalidFieldError: a time or text that can't be kept; `path` is put before the name of the field."""
    usage = message.usage
    first = message.time_to_first_token if message.HasField("time_to_first_token") else None
    return UsageRecord(
        attempt_id=text(message.attempt_id, f"{path}attempt_id"),
        completion_id=text(message.completion_id, f"{path}completion_id"),
        caller=read_caller(message.caller, f"{path}caller"),
        provider=text(message.provider, f"{path}provider"),
        model=text(message.model, f"{path}model"),
        tokens=TokenCounts(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.cache_write_input_tokens,
            usage.reasoning_output_tokens,
        ),
        start_ns=time_ns(message.start_time, f"{path}start_time"),
        end_ns=time_ns(message.end_time, f"{path}end_time"),
        outcome=message.outcome,
        requested_model=text(message.requested_model, f"{path}requested_model"),
        usage_source=usage.source,
        cache_status=message.cache_status,
        first_token_ns=None if first is None else _duration_ns(first, f"{path}time_to_first_token"),
        labels=_labels(message, path),
        end_user_id=text(message.end_user_id, f"{path}end_user_id"),
        service_tier=text(message.service_tier, f"{path}service_tier"),
    )


def _labels(message: usage_pb2.UsageRecord, path: str) -> dict[str, str]:
    return {
        text(name, f"{path}labels"): text(value, f'{path}labels["{name}"]')
        for name, value in message.labels.items()
    }


def _duration_ns(message: Duration, field: str) -> int:
    if not 0 <= message.seconds <= _MAX_SECONDS or not 0 <= message.nanos < _NS:
        raise invalid(field, "must be a positive duration")
    return message.seconds * _NS + message.nanos


def cost_message(cost: Cost) -> cost_pb2.Cost:
    return cost_pb2.Cost(amount_nanos=cost.nanos, price_id=cost.price_id, unpriced=cost.unpriced)


def entry_message(entry: Entry) -> usage_pb2.LedgerEntry:
    return usage_pb2.LedgerEntry(
        record=_record_message(entry.record),
        cost=cost_message(entry.cost),
        book_time=timestamp(entry.book_ns),
        hold_id=entry.hold_id,
    )


def _record_message(record: UsageRecord) -> usage_pb2.UsageRecord:
    message = usage_pb2.UsageRecord(
        attempt_id=record.attempt_id,
        completion_id=record.completion_id,
        caller=caller_pb2.Caller(
            organization_id=record.caller.organization_id,
            user_id=record.caller.user_id,
            key_id=record.caller.key_id,
        ),
        provider=record.provider,
        model=record.model,
        requested_model=record.requested_model,
        usage=_tokens_message(record.tokens, record.usage_source),
        cache_status=record.cache_status,  # type: ignore[arg-type]
        outcome=record.outcome,  # type: ignore[arg-type]
        start_time=timestamp(record.start_ns),
        end_time=timestamp(record.end_ns),
        labels=record.labels,
        end_user_id=record.end_user_id,
        service_tier=record.service_tier,
    )
    if record.first_token_ns is not None:
        message.time_to_first_token.FromNanoseconds(record.first_token_ns)
    return message


def _tokens_message(tokens: TokenCounts, source: int) -> common_usage_pb2.TokenUsage:
    return common_usage_pb2.TokenUsage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_read_input_tokens=tokens.cache_read,
        cache_write_input_tokens=tokens.cache_write,
        reasoning_output_tokens=tokens.reasoning,
        total_tokens=tokens.input + tokens.output,
        source=source,  # type: ignore[arg-type]
    )


def read_filter(message: usage_pb2.UsageFilter) -> UsageFilter:
    return UsageFilter(
        organization_id=text(message.organization_id, "filter.organization_id"),
        user_id=text(message.user_id, "filter.user_id"),
        key_id=text(message.key_id, "filter.key_id"),
        model=text(message.model, "filter.model"),
        provider=text(message.provider, "filter.provider"),
        start_ns=time_ns(message.start_time, "filter.start_time") if message.HasField("start_time") else None,
        end_ns=time_ns(message.end_time, "filter.end_time") if message.HasField("end_time") else None,
    )


_GROUP_FIELDS = {
    Dimension.ORGANIZATION: "organization_id",
    Dimension.USER: "user_id",
    Dimension.KEY: "key_id",
    Dimension.MODEL: "model",
    Dimension.PROVIDER: "provider",
    Dimension.DAY: "day",
}


def sum_message(group_by: list[Dimension], row: UsageSum) -> usage_pb2.UsageRow:
    message = usage_pb2.UsageRow(
        attempts=row.attempts,
        cache_hits=row.cache_hits,
        usage=_tokens_message(row.tokens, _ESTIMATED if row.estimated else _PROVIDER),
        cost_nanos=row.cost_nanos,
        unpriced_attempts=row.unpriced_attempts,
    )
    for dimension, value in zip(group_by, row.group, strict=True):
        setattr(
            message, _GROUP_FIELDS[dimension], day_name(int(value)) if dimension is Dimension.DAY else value
        )
    return message
