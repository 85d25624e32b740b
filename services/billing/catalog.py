"""The prices that Headgate ships with: genai-prices' data as integers, found by its own matchers."""

import gc
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from services.billing.money import usd_to_nanos
from services.billing.pricing import Price, Tier

_NS_PER_SECOND = 10**9
_SECONDS_PER_DAY = 86_400
_MAX_REMEMBERED = 10_000
_DATA_MODULE = "genai_prices.data"


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of each UTC day, in seconds of it; it may pass midnight."""

    start: int
    end: int

    def contains(self, at_ns: int) -> bool:
        second = at_ns // _NS_PER_SECOND % _SECONDS_PER_DAY
        if self.end < self.start:
            return second >= self.start or second < self.end
        return self.start <= second < self.end


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model's prices in the order of the data: of those in force, the last one applies."""

    is_match: Callable[[str], bool]
    prices: tuple[tuple[Price, Hours | None], ...]

    def price(self, at_ns: int) -> Price:
        for price, hours in reversed(self.prices):
            if hours is not None and not hours.contains(at_ns):
                continue
            if price.effective_ns is None or price.effective_ns <= at_ns:
                return price
        return self.prices[0][0]


@dataclass(frozen=True, slots=True)
class CatalogProvider:
    provider_id: str
    is_match: Callable[[str], bool] | None
    models: tuple[CatalogModel, ...]
    fallbacks: tuple[str, ...]


class Catalog:
    """Finds a shipped price by provider and model, however the model is dated or spelled."""

    def __init__(self, providers: Sequence[CatalogProvider]) -> None:
        self._providers = {provider.provider_id: provider for provider in providers}
        self._found: dict[tuple[str, str], CatalogModel | None] = {}

    def price(self, provider: str, model: str, at_ns: int) -> Price | None:
        found = self._find(provider, model)
        return None if found is None else found.price(at_ns)

    def prices(self) -> Iterator[Price]:
        for provider in self._providers.values():
            for model in provider.models:
                yield from (price for price, _hours in model.prices)

    def _find(self, provider: str, model: str) -> CatalogModel | None:
        key = (provider, model)
        if key not in self._found:
            if len(self._found) >= _MAX_REMEMBERED:
                self._found.clear()
            self._found[key] = self._search(provider.strip().lower(), model.lower())
        return self._found[key]

    def _search(self, provider_name: str, model: str) -> CatalogModel | None:
        provider = self._provider(provider_name)
        if provider is None:
            return None
        for each in (provider, *(self._providers.get(name) for name in provider.fallbacks)):
            for candidate in each.models if each is not None else ():
                if candidate.is_match(model):
                    return candidate
        return None

    def _provider(self, name: str) -> CatalogProvider | None:
        if name in self._providers:
            return self._providers[name]
        matching = (
            each for each in self._providers.values() if each.is_match is not None and each.is_match(name)
        )
        return next(matching, None)


def load_catalog() -> Catalog:
    """Read the data once and keep the prices and matchers only: the data itself is ten times their size."""
    from genai_prices.data import providers  # noqa: PLC0415 - its texts are dropped again below

    release = f"genai-prices-{version('genai-prices')}"
    catalog = Catalog([_provider(provider, release) for provider in providers])
    providers.clear()
    sys.modules.pop(_DATA_MODULE, None)
    gc.collect()
    return catalog


def _provider(provider: Any, release: str) -> CatalogProvider:
    models = (_model(provider.id, model, release) for model in provider.models)
    return CatalogProvider(
        provider_id=provider.id,
        is_match=None if provider.provider_match is None else provider.provider_match.is_match,
        models=tuple(model for model in models if model is not None),
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
    return CatalogModel(model.match.is_match, tuple(prices))


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


def content_hash(price: Price) -> str:
    """Twelve hex digits of what the version says; its own id is not part of it."""
    return hashlib.sha256(repr(replace(price, price_id="")).encode()).hexdigest()[:12]


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
