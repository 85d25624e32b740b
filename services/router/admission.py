"""May the request go ahead: room under limits, an earlier answer, money held."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

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
from services.router.peers import UNREACHABLE, Billing, Cache
from services.router.reserving import Reserving
from services.router.run import Run
from services.router.targets.estimate import unsized_parts
from services.router.targets.options import answers_generated
from services.router.targets.service_tier import may_cost_more

_COST_METRICS = frozenset({limit_pb2.METRIC_COST_NANOS})
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
    on_peer_lost: Callable[[str], None]


class Admission:
    """Asks ratelimit and cache side by side, then billing; notes on the run what was taken, for settlement.

    Where a limit on cost binds, ratelimit is asked once more, for what billing then holds.
    """

    def __init__(
        self,
        reserving: Reserving,
        cached: Cache,
        bank: Billing,
        settlements: Settlements,
        policy: AdmissionPolicy,
    ) -> None:
        self._reserving = reserving
        self._cache = cached
        self._billing = bank
        self._settlements = settlements
        self._policy = policy

    async def admit(self, run: Run) -> None:
        """Returns with `run.hit`, or with a hold.

        :raises GatewayError: RATE_LIMITED, BUDGET_EXCEEDED, UNPRICED_MODEL; UNAVAILABLE when a peer without which the
            request must not be admitted can't be reached.
        """
        reserving = self._reserving.reserve(run, self._reservation(run))
        # A refresh looks too: the key to keep the answer under comes with the look.
        looking = self._cache.lookup(self._question(run)) if run.is_cacheable else None
        hit = None if looking is None else await self._look(run, looking)
        await reserving
        # Only now: a request that the limits refuse is not answered by the cache either.
        run.hit = hit
        if hit is None:
            self._require_bound(run)
            await (self._hold_within_costs(run) if run.counts_cost else self._hold(run, run.completion_id))

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

    async def cover_retry(self, run: Run) -> None:
        """Take as much again before another attempt, when earlier ones have used something of what was taken for one.

        :raises GatewayError: as `admit`; another attempt could exceed a limit or a hard budget.
        """
        if not any(leg.usage().total_tokens for leg in run.legs):
            return
        if _tokens_are_limited(run.limit_statuses):
            await self._reserving.reserve_more(run, self._amounts_again(run))
        if run.principal.has_hard_budget:
            await self._hold(run, f"{run.completion_id}.{len(run.legs) + 1}")

    def _amounts_again(self, run: Run) -> ratelimit.Amounts:
        amounts = self._amounts(run)
        amounts.requests, amounts.cost_nanos = 0, run.held_nanos
        return amounts

    async def _hold_within_costs(self, run: Run) -> None:
        asked = self._hold_request(run, run.completion_id)
        await self._reserving.refuse_early(run, asked)
        await self._reserving.reserve_held(run, asked, await self._hold(run, run.completion_id))

    def _require_bound(self, run: Run) -> None:
        """:raises UnsupportedByTargetError: something binds the tokens or the money of a request that may use any number."""
        money = (
            "a hard budget" if run.principal.has_hard_budget else _limit_on(run.limit_statuses, _COST_METRICS)
        )
        if money and may_cost_more(run.request.service_tier):
            text = f"{money} binds this request, and the prices are of the standard tier, which this one may exceed"
            raise UnsupportedByTargetError(
                f"service_tier: {text}", field_violations=[FieldViolation("service_tier", text)]
            )
        if run.plan.most_input_tokens is not None:
            return
        binding = money or _limit_on(run.limit_statuses, _INPUT_METRICS)
        if binding:
            violations = [FieldViolation(field, _UNBOUNDED) for field in unsized_parts(run.request)]
            raise UnsupportedByTargetError(
                f"{binding} binds this request, and nothing says how many tokens its documents, sound or film may be: the targets' "
                "context_window has to be declared, or the text sent instead",
                field_violations=violations,
            )

    async def _hold(self, run: Run, hold_id: str) -> int | None:
        """What is held, in nano-USD; None: billing can't be reached, and nothing binds the caller that must know."""
        # The id is noted first: an answer that was lost on its way may have left a hold behind.
        run.hold_ids.append(hold_id)
        self._settlements.open(hold_id)
        try:
            held = await self._billing.authorize(self._hold_request(run, hold_id))
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
            return None
        run.held_nanos = held.amount_nanos
        return held.amount_nanos

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
        return ratelimit.ReserveRequest(
            reservation_id=run.completion_id,
            caller=run.principal.caller,
            model=run.request.model,
            labels=run.request.labels,
            amounts=self._amounts(run),
            ttl=_LONGEST_ANSWER,
        )

    def _amounts(self, run: Run) -> ratelimit.Amounts:
        output = run.request.max_output_tokens or max(
            self._expected_output(target.max_output_tokens) for target in run.plan.targets
        )
        return ratelimit.Amounts(
            requests=1,
            input_tokens=_held_input(run),
            output_tokens=output * answers_generated(run.request),
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


def _limit_on(statuses: list[ratelimit.LimitStatus], metrics: frozenset[int]) -> str:
    binding = (status for status in statuses if status.metric in metrics and not status.shadow)
    return next((f"limit {status.limit_id}" for status in binding), "")
