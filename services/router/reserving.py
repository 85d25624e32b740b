"""Room under limits for a run: taken before it is answered, and decided by what limits say when nobody can take it."""

from collections.abc import Awaitable, Callable, Sequence

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from services._runtime.errors import GatewayError, PeerUnavailableError
from services.router.accounts.known_costs import KnownCosts
from services.router.accounts.limit_amounts import refused_by
from services.router.accounts.limit_rules import LimitRules
from services.router.peers import UNREACHABLE, RateLimit
from services.router.run import Run

_COST = limit_pb2.METRIC_COST_NANOS
_OPEN, _CLOSED = limit_pb2.STORE_LOSS_POLICY_OPEN, limit_pb2.STORE_LOSS_POLICY_CLOSED


class Reserving:
    """Notes on the run what it took, for settlement.

    What a request costs at most is billing's to say, so a limit on cost is asked once billing has answered: by a reservation
    of its own, which no other request has.
    """

    def __init__(
        self,
        limits: RateLimit,
        rules: LimitRules,
        costs: KnownCosts,
        *,
        admits_unseen: bool,
        on_peer_lost: Callable[[str], None],
    ) -> None:
        self._limits = limits
        self._rules = rules
        self._costs = costs
        self._admits_unseen = admits_unseen
        self._on_peer_lost = on_peer_lost

    def reserve(self, run: Run, request: ratelimit.ReserveRequest) -> Awaitable[None]:
        """Begin to take room; what is returned ends when there is some.

        :raises GatewayError: RATE_LIMITED; UNAVAILABLE when the rate limiter can't be reached, and the request must not be
            admitted without it.
        """
        run.reservations.append(request)
        return self._finish(run, request, self._limits.reserve(request))

    async def reserve_cost(self, run: Run, cost_nanos: int) -> None:
        """Take room for what the run costs at most, under limits on cost. Without effect as far as it was taken before.

        :raises GatewayError: as `reserve`.
        """
        missing = cost_nanos - sum(each.amounts.cost_nanos for each in run.reservations)
        if missing > 0:
            await self.reserve_more(run, ratelimit.Amounts(cost_nanos=missing))

    async def reserve_more(self, run: Run, amounts: ratelimit.Amounts) -> None:
        """Take more room for a run that has a reservation, by another one beside it.

        :raises GatewayError: as `reserve`.
        """
        first = run.reservations[0]
        request = ratelimit.ReserveRequest(
            reservation_id=f"{first.reservation_id}+{len(run.reservations)}",
            caller=first.caller,
            model=first.model,
            labels=first.labels,
            amounts=amounts,
            ttl=first.ttl,
        )
        await self.reserve(run, request)

    async def refuse_early(self, run: Run, asked: billing.AuthorizeRequest) -> None:
        """Ask limits on cost first where they have less left than such a request is known to cost.

        Who has used up what it may spend so costs billing nothing.

        :raises GatewayError: as `reserve`.
        """
        least = self._costs.least(asked)
        left = [each.remaining for each in run.limit_statuses if each.metric == _COST and not each.shadow]
        if left and min(left) < least:
            await self.reserve_cost(run, least)

    async def reserve_held(self, run: Run, asked: billing.AuthorizeRequest, held_nanos: int | None) -> None:
        """Take room under limits on cost for what billing holds; None: it could not be asked.

        :raises GatewayError: as `reserve`; UNAVAILABLE when nobody can say what the request costs and a limit must know.
        """
        if held_nanos is None:
            binding = self._binding(run.reservations[0])
            _require_open(
                "what the request may cost can't be known without billing",
                [limit for limit in binding if limit.metric == _COST],
                admits_unseen=self._admits_unseen,
            )
            return
        self._costs.learn(asked, held_nanos)
        await self.reserve_cost(run, held_nanos)

    async def _finish(
        self, run: Run, request: ratelimit.ReserveRequest, reserving: Awaitable[ratelimit.ReserveResponse]
    ) -> None:
        try:
            statuses = (await reserving).statuses
        except GatewayError as error:
            if error.code not in UNREACHABLE:
                run.reservations.pop()
                if (status := refused_by(error)) is not None:
                    run.limit_statuses.append(status)
                raise
            self._on_peer_lost("ratelimit")
            _require_open(
                "rate limits can't be checked", self._binding(request), admits_unseen=self._admits_unseen
            )
            return
        run.limit_statuses[:] = statuses
        run.counts_cost = any(status.metric == _COST for status in statuses)
        if not statuses:
            # No limit binds: nothing was taken, and there is nothing to settle.
            run.reservations.pop()

    def _binding(self, request: ratelimit.ReserveRequest) -> list[limit_pb2.Limit]:
        return self._rules.binding(request.caller, request.model, request.labels)


def _require_open(what: str, binding: Sequence[limit_pb2.Limit], *, admits_unseen: bool) -> None:
    """:raises PeerUnavailableError: one of the limits is closed, or they leave it to a setting that is."""
    policies = {limit.store_loss_policy: limit.limit_id for limit in reversed(binding)}
    if _CLOSED in policies:
        why = f"the store_loss_policy of limit {policies[_CLOSED]} is closed"
    elif admits_unseen or policies.keys() == {_OPEN}:
        return
    else:
        why = "HEADGATE_ROUTER_LIMITS_LOST is closed"
    raise PeerUnavailableError(f"{what}, and {why}: nothing is admitted meanwhile", retry_after_seconds=1.0)
