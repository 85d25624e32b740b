"""Which price applies: an organisation's own, then the installation's, then the shipped one; by time."""

from bisect import insort
from collections.abc import Iterable, Sequence

from services.billing.catalog import Catalog
from services.billing.pricing import Price

_SINCE_EVER = -(2**63)


class PriceBook:
    """`declared` are the file's versions; those that the API added are replaced whole by `replace_added`."""

    def __init__(self, catalog: Catalog, declared: Sequence[Price] = ()) -> None:
        self._catalog = catalog
        self._declared = tuple(declared)
        self._overrides: dict[tuple[str, str, str], list[Price]] = {}
        self._added: tuple[Price, ...] = ()
        self.replace_added(())

    def replace_added(self, added: Iterable[Price]) -> None:
        self._added = tuple(added)
        self._overrides = {}
        for price in (*self._declared, *self._added):
            versions = self._overrides.setdefault((price.organization_id, price.provider, price.model), [])
            insort(versions, price, key=_since)

    def price(self, organization_id: str, provider: str, model: str, at_ns: int) -> Price | None:
        """The version in force at `at_ns`; of two from the same moment, the one that was added last."""
        if self._overrides:
            for scope in (organization_id, ""):
                for version in reversed(self._overrides.get((scope, provider, model), ())):
                    if _since(version) <= at_ns:
                        return version
        return self._catalog.price(provider, model, at_ns)

    def all(self) -> list[Price]:
        """Every version, ordered by provider, model, time and id."""
        return sorted((*self._catalog.prices(), *self._declared, *self._added), key=place)


def place(price: Price) -> tuple[str, str, int, str]:
    return (price.provider, price.model, _since(price), price.price_id)


def _since(price: Price) -> int:
    return _SINCE_EVER if price.effective_ns is None else price.effective_ns
