"""genai-prices' data as integers and matchers of our own."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from genai_prices import types
from genai_prices.data import providers as data

from services.billing.catalog import CatalogModel, CatalogProvider, Hours, Match, content_hash
from services.billing.money import usd_to_nanos
from services.billing.pricing import Price, Tier

_NS_PER_SECOND = 10**9
_SECONDS_PER_DAY = 86_400


def providers() -> list[CatalogProvider]:
    release = f"genai-prices-{version('genai-prices')}"
    return [_provider(provider, release) for provider in data]


def to_match(clause: Any) -> Match:
    match clause:
        case types.ClauseOr(or_=clauses):
            return Match("or", parts=tuple(map(to_match, clauses)))
        case types.ClauseAnd(and_=clauses):
            return Match("and", parts=tuple(map(to_match, clauses)))
        case types.ClauseRegex(regex=pattern):
            return Match("regex", pattern)
    # The others have one field, which is named as what they do.
    ((kind, text),) = vars(clause).items()
    return Match(kind, text.lower())


def _provider(provider: Any, release: str) -> CatalogProvider:
    models = (_model(provider.id, model, release) for model in provider.models)
    return CatalogProvider(
        provider_id=provider.id,
        match=None if provider.provider_match is None else to_match(provider.provider_match),
        packed=pickle.dumps(tuple(model for model in models if model is not None)),
        fallbacks=tuple(provider.fallback_model_providers or ()),
    )


def _model(provider_id: str, model: Any, release: str) -> CatalogModel | None:
    """None: the model is not sold by tokens (speech by the hour, pages, searches)."""
    conditional = model.prices if isinstance(model.prices, list) else None
    rows = (
        [(None, model.prices)]
        if conditional is None
        else [(each.constraint, each.prices) for each in conditional]
    )
    prices = []
    for constraint, rates in rows:
        if rates.input_mtok is None and rates.output_mtok is None:
            return None
        effective_ns, hours = _when(constraint)
        prices.append((_price(provider_id, model.id, rates, effective_ns, release), hours))
    return CatalogModel(to_match(model.match), tuple(prices))


def _when(constraint: Any) -> tuple[int | None, Hours | None]:
    if constraint is None:
        return None, None
    if hasattr(constraint, "start_date"):
        midnight = datetime.combine(constraint.start_date, time(tzinfo=UTC))
        return int(midnight.timestamp()) * _NS_PER_SECOND, None
    return None, Hours(_second(constraint.start_time), _second(constraint.end_time))


def _second(moment: time) -> int:
    offset = moment.utcoffset()
    local = moment.hour * 3600 + moment.minute * 60 + moment.second
    return (local - (0 if offset is None else int(offset.total_seconds()))) % _SECONDS_PER_DAY


def _price(provider: str, model: str, rates: Any, effective_ns: int | None, release: str) -> Price:
    price = Price(
        price_id="",
        provider=provider,
        model=model,
        tiers=_tiers(rates),
        # Per thousand requests.
        request_nanos=usd_to_nanos((rates.requests_kcount or Decimal(0)) / 1000),
        effective_ns=effective_ns,
    )
    return replace(price, price_id=f"{release}:{provider}/{model}:{content_hash(price)}")


def _tiers(rates: Any) -> tuple[Tier, ...]:
    columns = (rates.input_mtok, rates.output_mtok, rates.cache_read_mtok, rates.cache_write_mtok)
    # The data's tier begins above `start`, ours at min_input_tokens.
    starts = {tier.start + 1 for rate in columns for tier in getattr(rate, "tiers", ())}
    return tuple(_tier(columns, start) for start in sorted({0, *starts}))


def _tier(columns: Sequence[Any], start: int) -> Tier:
    input_rate, output_rate, cache_read_rate, cache_write_rate = (_rate(column, start) for column in columns)
    return Tier(start, input_rate or 0, output_rate or 0, cache_read_rate, cache_write_rate)


def _rate(column: Any, input_tokens: int) -> int | None:
    if column is None:
        return None
    # Some of the data went through floats (0.18000000000000002): a rate is rounded to a nano-USD per million tokens.
    if isinstance(column, Decimal):
        return usd_to_nanos(column)
    reached = [tier.price for tier in column.tiers if input_tokens > tier.start]
    return usd_to_nanos(reached[-1] if reached else column.base)
