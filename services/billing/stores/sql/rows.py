"""Domain values as rows, and rows as domain values."""

from typing import Any

import msgspec

from services.billing.accounts import Account, Key
from services.billing.books import Hold, HoldState
from services.billing.budgets import Budget, Period
from services.billing.pricing import Price, Source, Tier, TokenCounts
from services.billing.usage import Caller, Cost, Entry, UsageRecord

_labels = msgspec.json.Decoder(dict[str, str]).decode
_tiers = msgspec.json.Decoder(tuple[Tier, ...]).decode
_percents = msgspec.json.Decoder(tuple[int, ...]).decode
_NO_LABELS = "{}"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def entry_row(entry: Entry) -> dict[str, Any]:
    record, tokens = entry.record, entry.record.tokens
    return {
        "attempt_id": record.attempt_id,
        "completion_id": record.completion_id,
        "hold_id": entry.hold_id,
        "organization_id": record.caller.organization_id,
        "user_id": record.caller.user_id,
        "key_id": record.caller.key_id,
        "provider": record.provider,
        "model": record.model,
        "requested_model": record.requested_model,
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cache_read_tokens": tokens.cache_read,
        "cache_write_tokens": tokens.cache_write,
        "reasoning_tokens": tokens.reasoning,
        "usage_source": record.usage_source,
        "cache_status": record.cache_status,
        "outcome": record.outcome,
        "start_ns": record.start_ns,
        "end_ns": record.end_ns,
        "first_token_ns": record.first_token_ns,
        "day": record.day,
        "labels": _json(record.labels) if record.labels else _NO_LABELS,
        "end_user_id": record.end_user_id,
        "service_tier": record.service_tier,
        "cost_nanos": entry.cost.nanos,
        "price_id": entry.cost.price_id,
        "unpriced": entry.cost.unpriced,
        "book_ns": entry.book_ns,
        "digest": entry.digest,
    }


def entry_of(row: Any) -> Entry:
    tokens = TokenCounts(
        row.input_tokens,
        row.output_tokens,
        row.cache_read_tokens,
        row.cache_write_tokens,
        row.reasoning_tokens,
    )
    record = UsageRecord(
        attempt_id=row.attempt_id,
        completion_id=row.completion_id,
        caller=Caller(row.organization_id, row.user_id, row.key_id),
        provider=row.provider,
        model=row.model,
        tokens=tokens,
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        outcome=row.outcome,
        requested_model=row.requested_model,
        usage_source=row.usage_source,
        cache_status=row.cache_status,
        first_token_ns=row.first_token_ns,
        labels=_labels(row.labels),
        end_user_id=row.end_user_id,
        service_tier=row.service_tier,
    )
    return Entry(
        record, Cost(row.cost_nanos, row.price_id, row.unpriced), row.book_ns, row.hold_id, row.digest
    )


def hold_row(hold: Hold) -> dict[str, Any]:
    return {
        "hold_id": hold.hold_id,
        "organization_id": hold.caller.organization_id,
        "user_id": hold.caller.user_id,
        "key_id": hold.caller.key_id,
        "amount_nanos": hold.amount_nanos,
        "state": int(hold.state),
        "create_ns": hold.create_ns,
        "expire_ns": hold.expire_ns,
        "digest": hold.digest,
    }


def hold_of(row: Any) -> Hold:
    caller = Caller(row.organization_id, row.user_id, row.key_id)
    return Hold(
        row.hold_id, caller, row.amount_nanos, HoldState(row.state), row.create_ns, row.expire_ns, row.digest
    )


def price_row(price: Price, sequence: int) -> dict[str, Any]:
    return {
        "price_id": price.price_id,
        "provider": price.provider,
        "model": price.model,
        "organization_id": price.organization_id,
        "effective_ns": price.effective_ns,
        "tiers": _json(price.tiers),
        "request_nanos": price.request_nanos,
        "source": int(price.source),
        "sequence": sequence,
    }


def price_of(row: Any) -> Price:
    return Price(
        price_id=row.price_id,
        provider=row.provider,
        model=row.model,
        tiers=_tiers(row.tiers),
        request_nanos=row.request_nanos,
        effective_ns=row.effective_ns,
        organization_id=row.organization_id,
        source=Source(row.source),
    )


def budget_row(budget: Budget) -> dict[str, Any]:
    return {
        "budget_id": budget.budget_id,
        "organization_id": budget.organization_id,
        "user_id": budget.user_id,
        "key_id": budget.key_id,
        "limit_nanos": budget.limit_nanos,
        "period": int(budget.period),
        "soft": budget.soft,
        "alert_percents": _json(budget.alert_percents),
        "source": int(budget.source),
        "etag": budget.etag,
    }


def budget_of(row: Any) -> Budget:
    return Budget(
        budget_id=row.budget_id,
        organization_id=row.organization_id,
        limit_nanos=row.limit_nanos,
        period=Period(row.period),
        user_id=row.user_id,
        key_id=row.key_id,
        soft=bool(row.soft),
        alert_percents=_percents(row.alert_percents),
        source=Source(row.source),
        etag=row.etag,
    )


def account_of(row: Any) -> Account:
    return Account(row.organization_id, row.user_id, row.display_name, row.create_ns)


def key_of(row: Any) -> Key:
    return Key(
        row.key_id,
        row.organization_id,
        row.user_id,
        row.display_name,
        row.create_ns,
        row.expire_ns,
        row.revoke_ns,
    )
