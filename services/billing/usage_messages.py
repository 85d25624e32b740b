"""Usage between the contract's messages and the domain's values."""

from collections.abc import Sequence

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


def time_ns(message: Timestamp, *field: str) -> int:
    """:raises InvalidFieldError: before 1970 or after 2262; `field` are the parts of its path."""
    seconds, nanos = message.seconds, message.nanos
    if not (0 <= seconds <= _MAX_SECONDS and 0 <= nanos < _NS):
        raise invalid("".join(field), "must be a time between 1970 and 2262")
    return seconds * _NS + nanos


def timestamp(ns: int) -> Timestamp:
    return Timestamp(seconds=ns // _NS, nanos=ns % _NS)


def text(value: str, field: str) -> str:
    """:raises InvalidFieldError: it has a NUL character, which not every store can keep."""
    if "\0" in value:
        raise invalid(field, "must not contain a NUL character")
    return value


def require_texts(texts: Sequence[str], names: Sequence[str], path: str) -> None:
    """:raises InvalidFieldError: one of them has a NUL character. All are searched at once."""
    if "\0" in "".join(texts):
        for name, value in zip(names, texts, strict=True):
            text(value, path + name)


def read_record(message: usage_pb2.UsageRecord, path: str) -> UsageRecord:
    """:raises InvalidFieldError: a time or an id that can't be kept; `path` is put before the name of the field."""
    usage, caller = message.usage, message.caller
    labels = dict(message.labels) if message.labels else {}
    names: tuple[str, ...] = (
        message.provider,
        message.model,
        message.requested_model,
        message.end_user_id,
        message.service_tier,
    )
    if "\0" in "".join([*names, *labels, *labels.values()]):
        names = tuple(map(_kept, names))
        labels = {_kept(name): _kept(value) for name, value in labels.items()} | _CLEANED
    provider, model, requested_model, end_user_id, service_tier = names
    record = UsageRecord(
        attempt_id=message.attempt_id,
        completion_id=message.completion_id,
        caller=Caller(caller.organization_id, caller.user_id, caller.key_id),
        provider=provider,
        model=model,
        tokens=TokenCounts(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.cache_write_input_tokens,
            usage.reasoning_output_tokens,
        ),
        start_ns=time_ns(message.start_time, path, "start_time"),
        end_ns=time_ns(message.end_time, path, "end_time"),
        outcome=message.outcome,
        requested_model=requested_model,
        usage_source=usage.source,
        cache_status=message.cache_status,
        first_token_ns=_first_token_ns(message, path),
        labels=labels,
        end_user_id=end_user_id,
        service_tier=service_tier,
    )
    ids = (caller.organization_id, caller.user_id, caller.key_id, record.attempt_id, record.completion_id)
    require_texts(ids, _ID_FIELDS, path)
    return record


def _kept(value: str) -> str:
    """With what not every store can keep replaced: what was served is booked, however it is called."""
    return value.replace("\0", "\ufffd")


CALLER_FIELDS = ("caller.organization_id", "caller.user_id", "caller.key_id")
_ID_FIELDS = (*CALLER_FIELDS, "attempt_id", "completion_id")
_CLEANED = {"headgate/cleaned": "true"}


def _first_token_ns(message: usage_pb2.UsageRecord, path: str) -> int | None:
    if not message.HasField("time_to_first_token"):
        return None
    first = message.time_to_first_token
    seconds, nanos = first.seconds, first.nanos
    if not (0 <= seconds <= _MAX_SECONDS and 0 <= nanos < _NS):
        raise invalid(f"{path}time_to_first_token", "must be a positive duration")
    return seconds * _NS + nanos


def write_cost(message: cost_pb2.Cost, cost: Cost) -> None:
    """`message` is new: a field that has its default is left alone."""
    message.amount_nanos = cost.nanos
    message.price_id = cost.price_id
    if cost.unpriced:
        message.unpriced = True


def entry_message(entry: Entry) -> usage_pb2.LedgerEntry:
    message = usage_pb2.LedgerEntry(
        record=_record_message(entry.record), book_time=timestamp(entry.book_ns), hold_id=entry.hold_id
    )
    write_cost(message.cost, entry.cost)
    return message


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
