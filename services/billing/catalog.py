"""The prices that Headgate ships with, found by provider and model."""

import hashlib
import pickle
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from services._runtime.process.apart import apart
from services.billing.pricing import Price

_NS_PER_SECOND = 10**9
_SECONDS_PER_DAY = 86_400
_MAX_REMEMBERED = 10_000
_JUDGES = {
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": str.__contains__,
    "equals": str.__eq__,
}


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
class Match:
    """Which names are meant, in genai-prices' terms: `kind` is that of its clause, such as `starts_with` or `or`."""

    kind: str
    text: str = ""
    parts: tuple["Match", ...] = ()

    def includes(self, name: str) -> bool:
        match self.kind:
            case "or":
                return any(part.includes(name) for part in self.parts)
            case "and":
                return all(part.includes(name) for part in self.parts)
            case "regex":
                return re.search(self.text, name) is not None
        return bool(_JUDGES[self.kind](name.lower(), self.text))


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model's prices in the order of the data: of those in force, the last one applies."""

    match: Match
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
    """`packed` are its models as bytes, a tenth of what they take unpacked: most providers are never asked for."""

    provider_id: str
    match: Match | None
    packed: bytes
    fallbacks: tuple[str, ...]

    def models(self) -> tuple[CatalogModel, ...]:
        models: tuple[CatalogModel, ...] = pickle.loads(self.packed)  # noqa: S301 - packed by this program
        return models


class Catalog:
    """Finds a shipped price by provider and model, however the model is dated or spelled."""

    def __init__(self, providers: Sequence[CatalogProvider]) -> None:
        self._providers = {provider.provider_id: provider for provider in providers}
        self._models = cache(CatalogProvider.models)
        self._found: dict[tuple[str, str], CatalogModel | None] = {}

    def price(self, provider: str, model: str, at_ns: int) -> Price | None:
        found = self._find(provider, model)
        return None if found is None else found.price(at_ns)

    def prices(self) -> Iterator[Price]:
        for provider in self._providers.values():
            for model in provider.models():
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
            for candidate in self._models(each) if each is not None else ():
                if candidate.match.includes(model):
                    return candidate
        return None

    def _provider(self, name: str) -> CatalogProvider | None:
        if name in self._providers:
            return self._providers[name]
        matching = (
            each for each in self._providers.values() if each.match is not None and each.match.includes(name)
        )
        return next(matching, None)


def load_catalog() -> Catalog:
    """Prices and matchers only: genai-prices and what it imports, pydantic and an HTTP client, are not kept."""
    return Catalog(apart("services.billing.shipped_prices:providers", saves="pydantic"))


def content_hash(price: Price) -> str:
    """Twelve hex digits of what the version says; its own id is not part of it."""
    return hashlib.sha256(repr(replace(price, price_id="")).encode()).hexdigest()[:12]
