"""May the request go ahead: room under limits, an earlier answer, money held."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.common.v1 import cache_status_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import completion_pb2
from services._runtime.errors import FieldViolation, GatewayError, PeerUnavailableError
from services.router.accounts.settlement import Settlements
from services.router.answers.cache_policy import content_of, may_look
from services.router.errors import UnsupportedByTargetError
from services.router.peers import UNREACHABLE, Billing, Cache, RateLimit
from services.router.run import Run
from services.router.targets.estimate import unsized_parts
from services.router.targets.options import answers_generated
from services.router.targets.service_tier import may_cost_more

_INPUT_METRICS = frozenset(
    {limit_pb2.METRIC_INPUT_TOKENS, limit_pb2.METRIC_TOTAL_TOKENS, limit_pb2.METRIC_COST_NANOS}
)
_OUTPUT_METRICS = frozenset(
    {limit_pb2.METRIC_OUTPUT_TOKENS, limit_pb2.METRIC_TOTAL_TOKENS, limit_pb2.METRIC_COST_NANOS}
)
_TOKEN_METRICS = _INPUT_METRICS | _OUTPUT_METRICS
_UNBOUNDED = "nothing says how many tokens it may be"
# A reservation outlives every answer that is still being produced; a router that died leaves its estimates charged.
_LONGEST_ANSWER = duration_pb2.Duration(seconds=3600)


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What the operator decided. Token counts are used where neither request nor target says more."""

    cache_scope: cache.CacheScope.ValueType
    expected_output_tokens: int
    max_output_tokens: int
    admit_without_limits: bool
    on_peer_lost: Callable[[str], None]


class Admission:
    """Asks ratelimit and cache side by side, then billing; notes on the run what was taken, for settlement."""

    def __init__(
        self,
        limits: RateLimit,
        cached: Cache,
        bank: Billing,
        settlements: Settlements,
        policy: AdmissionPolicy,
    ) -> None:
        self._limits = limits
        self._cache = cached
        self._billing = bank
        self._settlements = settlements
        self._policy = policy

    async def admit(self, run: Run) -> None:
        """Returns with `run.hit`, or with a hold.

        :raises GatewayError: RATE_LIMITED, BUDGET_EXCEEDED, UNPRICED_MODEL; UNAVAILABLE when a peer without which the
            request must not be admitted can't be reached.
        """
        reserving = self._limits.reserve(self._reservation(run))
        run.reserved = True
        # A refresh looks too: the key to keep the answer under comes with the look.
        looking = self._cache.lookup(self._question(run)) if run.is_cacheable else None
        hit = None if looking is None else await self._look(run, looking)
        await self._reserve(run, reserving)
        # Only now: a request that the limits refuse is not answered by the cache either.
        run.hit = hit
        if hit is None:
            self._require_bound(run)
            await self._hold(run, run.completion_id)

    async def _look(
        self, run: Run, looking: Awaitable[cache.LookupResponse]
    ) -> completion_pb2.CachedCompletion | None:
        try:
            found = await looking
            run.cache_key = found.key
            if found.status == cache_status_pb2.CACHE_STATUS_MISS or not may_look(run.request):
                return None
            run.hit_stored_ns = found.entry.create_time.ToNanoseconds()
            return completion_pb2.CachedCompletion.FromString(found.entry.value)
        except GatewayError as error:
            # Whatever ails the cache, the request is answered without it.
            self._policy.on_peer_lost("cache" if error.code in UNREACHABLE else "cache_refused")
        except DecodeError:
            self._policy.on_peer_lost("cache_refused")
        return None

    async def _reserve(self, run: Run, reserving: Awaitable[ratelimit.ReserveResponse]) -> None:
        try:
            run.limit_statuses.extend((await reserving).statuses)
            # No limit binds: nothing was taken, and there is nothing to settle.
            run.reserved = bool(run.limit_statuses)
        except GatewayError as error:
            if error.code not in UNREACHABLE:
                run.reserved = False
                raise
            self._lose_limits(error)

    def _lose_limits(self, error: GatewayError) -> None:
        self._policy.on_peer_lost("ratelimit")
        if not self._policy.admit_without_limits:
            raise PeerUnavailableError(
                "rate limits can't be checked, and the configuration admits nothing without them",
                retry_after_seconds=1.0,
            ) from error

    async def cover_retry(self, run: Run) -> None:
        """Take as much again before another attempt, when earlier ones have used something of what was taken for one.

        :raises GatewayError: as `admit`; another attempt could exceed a limit or a hard budget.
        """
        if not any(leg.usage().total_tokens for leg in run.legs):
            return
        number = f"{run.completion_id}.{len(run.legs) + 1}"
        if _tokens_are_limited(run.limit_statuses):
            await self._reserve_again(run, number)
        if run.principal.has_hard_budget:
            await self._hold(run, number)

    async def _reserve_again(self, run: Run, reservation_id: str) -> None:
        request = self._reservation(run)
        request.reservation_id, request.amounts.requests = reservation_id, 0
        run.more_reservations.append(reservation_id)
        try:
            await self._limits.reserve(request)
        except GatewayError as error:
            if error.code not in UNREACHABLE:
                run.more_reservations.remove(reservation_id)
                raise
            self._lose_limits(error)

    def _require_bound(self, run: Run) -> None:
        """:raises UnsupportedByTargetError: something binds the tokens or the money of a request that may use any number."""
        if run.principal.has_hard_budget and may_cost_more(run.request.service_tier):
            text = "a hard budget binds this request, and the prices are of the standard tier, which this one may exceed"
            raise UnsupportedByTargetError(
                f"service_tier: {text}", field_violations=[FieldViolation("service_tier", text)]
            )
        if run.plan.most_input_tokens is not None:
            return
        binding = "a hard budget" if run.principal.has_hard_budget else _limit_on_tokens(run.limit_statuses)
        if binding:
            violations = [FieldViolation(field, _UNBOUNDED) for field in unsized_parts(run.request)]
            raise UnsupportedByTargetError(
                f"{binding} binds this request, and nothing says how many tokens its documents, sound or film may be: the targets' "
                "context_window has to be declared, or the text sent instead",
                field_violations=violations,
            )

    async def _hold(self, run: Run, hold_id: str) -> None:
        # The id is noted first: an answer that was lost on its way may have left a hold behind.
        run.hold_ids.append(hold_id)
        self._settlements.open(hold_id)
        try:
            await self._billing.authorize(self._hold_request(run, hold_id))
        except GatewayError as error:
            if error.code not in UNREACHABLE:
                run.hold_ids.remove(hold_id)
                self._settlements.forget(hold_id)
                raise
            self._policy.on_peer_lost("billing")
            if run.principal.has_hard_budget:
                raise PeerUnavailableError(
                    "billing can't be reached, and a hard budget binds this key, so nothing may be spent unseen; the key goes on "
                    "when billing is back, and would go on now with a soft budget",
                    retry_after_seconds=1.0,
                ) from error

    def output_bound(self, run: Run, target_max: int | None) -> int | None:
        """The most output tokens to ask a target for: the request's, what a limit on tokens reserved, the target's, or what a
        hard budget holds for.
        """
        if run.request.HasField("max_output_tokens"):
            return run.request.max_output_tokens
        if _tokens_are_limited(run.limit_statuses, _OUTPUT_METRICS):
            return self._expected_output(target_max)
        if target_max is None and run.principal.has_hard_budget:
            return self._policy.max_output_tokens
        return target_max

    def _expected_output(self, target_max: int | None) -> int:
        expected = self._policy.expected_output_tokens
        return expected if target_max is None else min(expected, target_max)

    def _reservation(self, run: Run) -> ratelimit.ReserveRequest:
        output = run.request.max_output_tokens or max(
            self._expected_output(target.max_output_tokens) for target in run.plan.targets
        )
        return ratelimit.ReserveRequest(
            reservation_id=run.completion_id,
            caller=run.principal.caller,
            model=run.request.model,
            labels=run.request.labels,
            amounts=ratelimit.Amounts(
                requests=1,
                input_tokens=_held_input(run),
                output_tokens=output * answers_generated(run.request),
            ),
            ttl=_LONGEST_ANSWER,
        )

    def _question(self, run: Run) -> cache.LookupRequest:
        first = run.plan.targets[0]
        question = cache.LookupRequest(
            caller=run.principal.caller,
            scope=self._policy.cache_scope,
            model=first.answers_as,
            content=content_of(run.request),
        )
        if run.request.cache.HasField("max_age"):
            question.max_age.CopyFrom(run.request.cache.max_age)
        return question

    def _hold_request(self, run: Run, hold_id: str) -> billing.AuthorizeRequest:
        asked = max(
            self.output_bound(run, target.max_output_tokens) or self._policy.max_output_tokens
            for target in run.plan.targets
        )
        candidates = {(target.billed_as, target.model): None for target in run.plan.targets}
        return billing.AuthorizeRequest(
            hold_id=hold_id,
            caller=run.principal.caller,
            candidates=[billing.Candidate(provider=p, model=m) for p, m in candidates],
            input_tokens=_held_input(run),
            max_output_tokens=asked * answers_generated(run.request),
            labels=run.request.labels,
        )


def _held_input(run: Run) -> int:
    most = run.plan.most_input_tokens
    return run.plan.input_tokens if most is None else most


def _tokens_are_limited(
    statuses: list[ratelimit.LimitStatus], metrics: frozenset[int] = _TOKEN_METRICS
) -> bool:
    return any(status.metric in metrics and not status.shadow for status in statuses)


def _limit_on_tokens(statuses: list[ratelimit.LimitStatus]) -> str:
    binding = (status for status in statuses if status.metric in _INPUT_METRICS and not status.shadow)
    return next((f"limit {status.limit_id}" for status in binding), "")


def limit_headers(statuses: list[ratelimit.LimitStatus]) -> list[tuple[str, str]]:
    """`x-ratelimit-*` of the tightest limit on requests, and of the tightest on tokens."""
    headers: list[tuple[str, str]] = []
    for unit, metrics in _HEADER_METRICS.items():
        binding = [status for status in statuses if status.metric in metrics and not status.shadow]
        if binding:
            tightest = min(binding, key=_REMAINING)
            reset = tightest.reset_after
            headers += [
                (f"x-ratelimit-limit-{unit}", str(tightest.limit)),
                (f"x-ratelimit-remaining-{unit}", str(tightest.remaining)),
                (f"x-ratelimit-reset-{unit}", f"{reset.seconds + reset.nanos / 1e9:.3f}s"),
            ]
    return headers


_REMAINING = attrgetter("remaining")
_HEADER_METRICS: dict[str, Any] = {"requests": {1}, "tokens": {2, 3, 4}}
