"""Which limits bind a request, and into which of their buckets it falls.

Every limit that matches binds: there is no precedence among them.

A bucket's key begins with the tag of its organisation in braces, so that Redis Cluster keeps the buckets and the
reservations of one organisation together. Users and keys exist within an organisation, so a limit `per` user or key
counts each organisation's apart. A limit that names no organisation in any of these ways counts across all; its buckets
have the tag `{*}`, and deciding it together with an organisation's own limits needs a store that sees both.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from urllib.parse import quote

from services.ratelimit.bucket import Bucket, Kind, Shape, shape_of
from services.ratelimit.limit import Caller, Dimension, Limit

_SHARED_TAG = "*"
_WITHIN_ORGANIZATION = frozenset({Dimension.ORGANIZATION, Dimension.USER, Dimension.KEY})
_CACHED_REQUESTS = 10_000

_NO_LABELS: frozenset[tuple[str, str]] = frozenset()
_Request = tuple[Caller, str, frozenset[tuple[str, str]]]


class _Compiled:
    """A limit with what does not depend on the request already done."""

    __slots__ = ("capacity", "limit", "shape", "stem", "within_organization")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.shape = shape_of(limit)
        self.capacity = limit.capacity
        self.within_organization = bool(
            limit.selector.organization_id or _WITHIN_ORGANIZATION.intersection(limit.per)
        )
        self.stem = f"b:{limit.limit_id}:{limit.generation}:{_form(self.shape)}"

    def bucket(self, caller: Caller, model: str) -> Bucket:
        tag = escaped(caller.organization_id) if self.within_organization else _SHARED_TAG
        values = {
            Dimension.ORGANIZATION: caller.organization_id,
            Dimension.USER: caller.user_id,
            Dimension.KEY: caller.key_id,
            Dimension.MODEL: model,
        }
        parts = [f"{dimension.value}={escaped(values[dimension])}" for dimension in sorted(self.limit.per)]
        key = ":".join([f"{{{tag}}}", self.stem, *parts])
        return Bucket(
            key, self.limit.limit_id, self.limit.metric, self.shape, self.capacity, self.limit.shadow
        )


class LimitTable:
    """All limits at one moment, ordered by id."""

    def __init__(self, limits: Iterable[Limit] = ()) -> None:
        self.limits = tuple(sorted(limits, key=lambda limit: limit.limit_id))
        self._compiled = tuple(_Compiled(limit) for limit in self.limits)
        self._labels = {name for limit in self.limits for name in limit.selector.labels}
        self._bound: dict[_Request, tuple[Bucket, ...]] = {}
        self._bindable: dict[Caller, bool] = {}

    def bind(self, caller: Caller, model: str, labels: Mapping[str, str]) -> tuple[Bucket, ...]:
        """One bucket per limit that binds, ordered by limit id."""
        told = _NO_LABELS
        if self._labels:
            told = frozenset((name, labels[name]) for name in self._labels if name in labels)
        request = (caller, model, told)
        bound = self._bound.get(request)
        if bound is None:
            if len(self._bound) >= _CACHED_REQUESTS:
                self._bound.clear()
            bound = self._bound[request] = tuple(
                compiled.bucket(caller, model)
                for compiled in self._compiled
                if compiled.limit.selector.matches(caller, model, labels)
            )
        return bound

    def bind_models(
        self, caller: Caller, models: Sequence[str], labels: Mapping[str, str]
    ) -> list[tuple[str, Bucket]]:
        """The buckets of requests for `models`, ordered by limit id; without a model where all models share one."""
        return [
            (model, compiled.bucket(caller, model))
            for compiled in self._compiled
            for model in (models if compiled.limit.tells_models_apart else ("",))
            if compiled.limit.selector.matches(caller, model, labels)
        ]

    @cached_property
    def etag(self) -> str:
        """The same for the same limits, in every replica."""
        return hashlib.blake2b(repr(self.limits).encode(), digest_size=12).hexdigest()

    def may_bind(self, caller: Caller) -> bool:
        """False when no request of the caller is bound by any limit."""
        bindable = self._bindable.get(caller)
        if bindable is None:
            if len(self._bindable) >= _CACHED_REQUESTS:
                self._bindable.clear()
            bindable = any(limit.selector.may_match(caller) for limit in self.limits)
            self._bindable[caller] = bindable
        return bindable


def escaped(value: str) -> str:
    """A part of a key: no two values give the same, and none contains a separator or a brace."""
    return quote(value, safe="")


def _form(shape: Shape) -> str:
    # Windows of other lengths have other slots, so they are other buckets; a token bucket keeps its fill at any rate.
    return "t" if shape.kind is Kind.TOKEN_BUCKET else f"w{shape.amount}"
