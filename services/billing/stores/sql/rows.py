"""Domain values as rows, and rows as domain values."""

from collections.abc import Sequence
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


def entry_row(entry: Entry) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    record, tokens = entry.record, entry.record.tokens
    return (
        record.attempt_id,
        record.completion_id,
        entry.hold_id,
        record.caller.organization_id,
        record.caller.user_id,
        record.caller.key_id,
        record.provider,
        record.model,
        record.requested_model,
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write,
        tokens.reasoning,
        record.usage_source,
        record.cache_status,
        record.outcome,
        record.start_ns,
        record.end_ns,
        record.first_token_ns,
        record.day,
        _json(record.labels) if record.labels else _NO_LABELS,
        record.end_user_id,
        record.service_tier,
        entry.cost.nanos,
        entry.cost.price_id,
        entry.cost.unpriced,
        entry.book_ns,
        entry.digest,
    )


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


def hold_row(hold: Hold) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    caller = hold.caller
    return (
        hold.hold_id,
        caller.organization_id,
        caller.user_id,
        caller.key_id,
        hold.amount_nanos,
        int(hold.state),
        hold.create_ns,
        hold.expire_ns,
        hold.digest,
    )


def hold_of(row: Sequence[Any]) -> Hold:
    """From the columns in the table's order."""
    hold_id, organization_id, user_id, key_id, amount_nanos, state, create_ns, expire_ns, digest = row
    caller = Caller(organization_id, user_id, key_id)
    return Hold(hold_id, caller, amount_nanos, HoldState(state), create_ns, expire_ns, digest)


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
