"""What the service does with a request: bind, decide in the store, and say why when there is no room."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from services._runtime.errors import QuotaViolation
from services.ratelimit.book import LimitBook
from services.ratelimit.bucket import Standing
from services.ratelimit.errors import RateLimitedError, ReservationNotFoundError
from services.ratelimit.limit import Amounts, Caller, Metric
from services.ratelimit.metrics import LimiterMetrics
from services.ratelimit.store import BucketStore, Decision, Reservation, Resolution

T = TypeVar("T")
_UNBOUND = Decision(admitted=True, standings=())


class Request(Struct, frozen=True, gc=False):
    """A request for room. `ttl_us` None: the service's default."""

    reservation_id: str
    caller: Caller
    model: str
    labels: Mapping[str, str]
    amounts: Amounts
    ttl_us: int | None


Ended = tuple[Caller, str, Amounts]
"""Whose reservation ended, its id, and what was really used."""
Outcome = tuple[Standing, ...] | RateLimitedError


class Limiter:
    """Decides over all limits that bind a request at once.

    When none binds, nothing is kept: the answer names no limit, and there is nothing to settle. Settling (or releasing)
    is then answered with True as long as no limit could have bound the caller.
    """

    def __init__(
        self, book: LimitBook, store: BucketStore, metrics: LimiterMetrics, default_ttl_us: int
    ) -> None:
        self._book = book
        self._store = store
        self._metrics = metrics
        self._default_ttl_us = default_ttl_us

    async def reserve(self, requests: Sequence[Request]) -> list[Outcome]:
        """For each request how its limits stand after it, or why it was refused."""
        return (await self.exchange((), requests))[1]

    async def settle(self, ended: Sequence[Ended]) -> list[bool]:
        """True where the reservation is settled, by this call or an earlier one."""
        return (await self.exchange(ended, ()))[0]

    async def exchange(
        self, ended: Sequence[Ended], requests: Sequence[Request]
    ) -> tuple[list[bool], list[Outcome]]:
        """Settle, then reserve."""
        table = self._book.table
        bindable = [table.may_bind(caller) for caller, _, _ in ended]
        resolutions = [
            Resolution(caller.organization_id, reservation_id, used)
            for (caller, reservation_id, used), may_bind in zip(ended, bindable, strict=True)
            if may_bind
        ]
        bound = [table.bind(request.caller, request.model, request.labels) for request in requests]
        reservations = [
            Reservation(
                request.caller.organization_id,
                request.reservation_id,
                request.amounts,
                buckets,
                request.ttl_us or self._default_ttl_us,
            )
            for request, buckets in zip(requests, bound, strict=True)
            if buckets
        ]
        settled, decided = await self._decide(resolutions, reservations)
        decisions = _spread(decided, bound, _UNBOUND)
        if decisions:
            self._metrics.decided(decisions)
        return _spread(settled, bindable, True), [
            decision.standings if decision.admitted else refusal(decision.standings, request.amounts)
            for request, decision in zip(requests, decisions, strict=True)
        ]

    async def release(self, caller: Caller, reservation_id: str) -> bool:
        if not self._book.table.may_bind(caller):
            return True
        with self._metrics.store_errors():
            return await self._store.release(caller.organization_id, reservation_id)

    async def renew(self, caller: Caller, reservation_id: str, ttl_us: int) -> None:
        with self._metrics.store_errors():
            renewed = await self._store.renew(caller.organization_id, reservation_id, ttl_us)
        if not renewed:
            raise ReservationNotFoundError(
                f"reservation {reservation_id} is unknown, resolved, or has expired"
            )

    async def peek(
        self, caller: Caller, models: Sequence[str], labels: Mapping[str, str]
    ) -> list[tuple[str, Standing]]:
        """How the limits of requests for `models` stand; the model is empty where all models are counted together."""
        bound = self._book.table.bind_models(caller, models, labels)
        if not bound:
            return []
        with self._metrics.store_errors():
            standings = await self._store.peek([bucket for _, bucket in bound])
        return [(model, standing) for (model, _), standing in zip(bound, standings, strict=True)]

    async def _decide(
        self, resolutions: Sequence[Resolution], reservations: Sequence[Reservation]
    ) -> tuple[list[bool], list[Decision]]:
        if not resolutions and not reservations:
            return [], []
        with self._metrics.store_errors():
            return await self._store.exchange(resolutions, reservations)


def _spread(answers: list[T], asked: Sequence[object], otherwise: T) -> list[T]:
    """An answer for each that was asked, in order; for the others `otherwise`."""
    if len(answers) == len(asked):
        return answers
    rest = iter(answers)
    return [next(rest) if each else otherwise for each in asked]


def refusal(standings: Sequence[Standing], amounts: Amounts) -> RateLimitedError:
    """Names the limit that refused first, all that refuse, and when the same request would fit them all."""
    refusing = [standing for standing in standings if standing.exceeded and not standing.shadow]
    first = refusing[0]
    waits = [standing.fits_after_us for standing in refusing]
    known = [wait for wait in waits if wait is not None]
    return RateLimitedError(
        f"limit {first.limit_id} refused: {_why(first, amounts)}",
        retry_after_seconds=max(known) / 1e6 if len(known) == len(waits) else None,
        retryable=None if len(known) == len(waits) else False,
        quota_violations=[
            QuotaViolation(f"limit:{standing.limit_id}", _why(standing, amounts)) for standing in refusing
        ],
        metadata={
            "limit_id": first.limit_id,
            "metric": first.metric.name,
            "limit": str(first.capacity),
            "remaining": str(first.remaining),
            "reset_after_seconds": f"{first.reset_after_us / 1e6:.3f}",
        },
    )


def _why(standing: Standing, amounts: Amounts) -> str:
    metric = standing.metric
    amount, remaining, capacity = (
        _shown(each, metric) for each in (amounts[metric - 1], standing.remaining, standing.capacity)
    )
    asked = f"{amount} {metric.unit} are asked for"
    if standing.fits_after_us is not None:
        return f"{asked}, {remaining} of {capacity} remain"
    less = "" if metric is Metric.REQUESTS else "; ask for less, such as a smaller max_output_tokens"
    return f"{asked}, it holds at most {capacity}: this can never fit{less}"


def _shown(amount: int, metric: Metric) -> str:
    if metric is not Metric.COST_NANOS:
        return str(amount)
    dollars, nanos = divmod(amount, 10**9)
    return f"{dollars}.{nanos:09}".rstrip("0").rstrip(".")
