"""One request's whole story: check, admit, answer, settle.

The pump, a task of its own, tells the story; the RPC handler only writes what the pump produces. So whatever becomes of the
client (it cancels, stalls, or its deadline passes), the pump goes on to the end and settles: usage is spooled, the hold
captured or voided, the reservation settled or released, exactly once each.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import usage_pb2 as billing_usage
from headgate.cache.v1 import cache_service_pb2 as cache
from headgate.common.v1 import cache_status_pb2, caller_pb2, cost_pb2, outcome_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import completion_pb2
from services._runtime import context
from services._runtime.errors import GatewayError, InternalError, OverloadedError
from services.router.accounts.limit_settlement import LimitSettlements, releasing, settling
from services.router.accounts.settlement import Settlements
from services.router.admission import Admission
from services.router.answers.cache_policy import coalesce, is_worth_keeping, may_keep
from services.router.answers.leg import describe, total_usage
from services.router.checkpoints import records_of
from services.router.errors import CallerCancelledError, KeyRevokedError
from services.router.failover import Clock, Failover
from services.router.holding import AnswerBytes
from services.router.idempotency import InFlight
from services.router.peers import Cache, Principal
from services.router.run import Run, StoppedError
from services.router.targets.catalog import Catalog
from services.router.targets.routing import make_plan, normalise


class Observer(Protocol):
    """What is told of requests: metrics and logs."""

    def ended(self, run: Run, seconds: float) -> None: ...

    def peer_lost(self, peer: str) -> None: ...

    def failed(self, run: Run, error: BaseException) -> None: ...


class Pipeline:
    """Serves completions; one per process."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        admission: Admission,
        failover: Failover,
        limits: LimitSettlements,
        cached: Cache,
        settlements: Settlements,
        observer: Observer,
        clock: Clock,
        new_id: Callable[[], str],
        linger_seconds: float,
        answers: AnswerBytes,
    ) -> None:
        self._catalog = catalog
        self._admission = admission
        self._failover = failover
        self._limits = limits
        self._cache = cached
        self._settlements = settlements
        self._observer = observer
        self._clock = clock
        self._new_id = new_id
        self._linger_seconds = linger_seconds
        self._answers = answers
        self._in_flight = InFlight()
        self._runs: set[Run] = set()
        self._draining = False

    def begin(
        self, request: completion_pb2.CompletionRequest, principal: Principal, *, streamed: bool
    ) -> Run:
        """Check what needs nobody else, and start the pump.

        :raises GatewayError: the request can't be served, whatever the limits and budgets say.
        """
        if self._draining or self._settlements.is_full:
            raise OverloadedError("this router takes no requests now", retry_after_seconds=1.0)
        request = normalise(request)
        plan = make_plan(request, self._catalog)
        self._in_flight.enter(principal.caller.organization_id, request)
        is_cacheable = may_keep(request)
        run = Run(
            completion_id=self._new_id(),
            request=request,
            principal=principal,
            plan=plan,
            streamed=streamed,
            is_cacheable=is_cacheable,
            keeps_events=is_cacheable,
            started_at=self._clock.monotonic(),
            share=self._answers.share(principal.caller.key_id),
        )
        self._runs.add(run)
        run.task = asyncio.get_running_loop().create_task(self._pump(run))
        return run

    def stop(self, run: Run, outcome: outcome_pb2.Outcome.ValueType) -> None:
        """The handler is gone; without effect on a run that has ended."""
        run.stop(outcome, linger_seconds=self._linger_seconds)

    def running(self) -> Iterable[Run]:
        """Every request that has not ended."""
        return self._runs

    def running_keys(self, since: float) -> set[str]:
        """Of requests that began before `since`."""
        return {run.principal.caller.key_id for run in self._runs if run.started_at < since}

    def end_key(self, key_id: str) -> None:
        """The key has ended: so does what runs for it."""
        for run in self._runs:
            if run.principal.caller.key_id == key_id:
                error = KeyRevokedError(
                    "the API key was revoked, or has expired; what was produced is billed"
                )
                run.stop(outcome_pb2.OUTCOME_ABORTED, because=error, linger_seconds=self._linger_seconds)

    def end_within(self, seconds: float) -> None:
        """Let what runs go on for so long; what is not done then is aborted, and its caller hears why."""
        asyncio.get_running_loop().call_later(seconds, self._abort)

    async def drain(self) -> None:
        """Refuse what is new, end what still runs, and wait until all of it is settled."""
        self._abort()
        if self._runs:
            await asyncio.wait([run.task for run in self._runs if run.task is not None])

    def _abort(self) -> None:
        self._draining = True
        for run in self._runs:
            run.stop(outcome_pb2.OUTCOME_ABORTED)

    # The story.

    async def _pump(self, run: Run) -> None:
        try:
            await self._answer(run)
        except GatewayError as error:
            run.error = error
        except StoppedError:
            run.error = _stopped(run)
        except Exception as error:  # noqa: BLE001 - whatever happened, what was used is settled
            self._fail(run, error)
        finally:
            # The caller's deadline must not cut settlement short.
            context.detach()
            try:
                await self._settle(run)
            except Exception as error:  # noqa: BLE001 - the caller must not wait for an end that never comes
                self._fail(run, error)
                run.end(None)
            finally:
                run.keep_nothing()
                self._runs.discard(run)

    def _fail(self, run: Run, error: Exception) -> None:
        self._observer.failed(run, error)
        run.error = InternalError("an internal error ended the request; the log has its request id")

    async def _answer(self, run: Run) -> None:
        await self._admission.admit(run)
        run.check()
        if run.hit is not None:
            await self._replay(run, run.hit)
        else:
            await self._failover.generate(run)

    async def _replay(self, run: Run, hit: completion_pb2.CachedCompletion) -> None:
        started = completion_pb2.Started(
            completion_id=run.completion_id,
            requested_model=run.request.model,
            served_model=hit.served_model,
            provider=hit.provider,
            cache_status=cache_status_pb2.CACHE_STATUS_EXACT,
        )
        started.cache_age.FromNanoseconds(max(0, self._clock.epoch_ns() - run.hit_stored_ns))
        with run.interruptible():
            await run.emit([completion_pb2.CompletionEvent(started=started), *hit.events])

    async def _settle(self, run: Run) -> None:
        run.outcome = _outcome(run)
        run.used = total_usage([leg.usage() for leg in run.legs])
        charging: list[Awaitable[None]] = []
        try:
            try:
                await self._tell_peers(run, charging)
            finally:
                self._close(run)
            await self._keep_answer(run)
        finally:
            for each in charging:
                await each

    async def _tell_peers(self, run: Run, charging: list[Awaitable[None]]) -> None:
        """Book what was used, and begin to settle it under limits: first, unless they must know what it cost."""
        if run.legs and _may_count_cost(run):
            try:
                await self._book(run)
            finally:
                charging += self._charge_limits(run)
            return
        try:
            charging += self._charge_limits(run)
            if run.error is not None and not run.legs:
                # Refused: what was reserved is free again before the caller hears of it.
                while charging:
                    await charging.pop()
        finally:
            await self._book(run)

    def _close(self, run: Run) -> None:
        # Before the caller hears of the end: it may use its request_id again at once.
        self._in_flight.leave(run.principal.caller.organization_id, run.request)
        run.end(_finished(run) if run.error is None else None)
        self._observer.ended(run, self._clock.monotonic() - run.started_at)

    async def _book(self, run: Run) -> None:
        records = self._records(run)
        if not records:
            await self._void(run.hold_ids)
            return
        hold_id = run.hold_ids[0] if run.hold_ids else ""
        booked = await self._settlements.capture(billing.CaptureRequest(hold_id=hold_id, records=records))
        # What was held for further attempts is free once they are booked, and not before.
        await self._void(run.hold_ids[1:])
        if booked is not None:
            run.cost = cost_pb2.Cost(amount_nanos=booked.total_nanos)
            run.cost.price_id = booked.costs[-1].price_id
            run.cost.unpriced = any(cost.unpriced for cost in booked.costs)

    async def _void(self, hold_ids: Sequence[str]) -> None:
        for hold_id in hold_ids:
            await self._settlements.void(hold_id)

    def _records(self, run: Run) -> list[billing_usage.UsageRecord]:
        caller = run.principal.caller
        if run.hit is not None:
            return [self._hit_record(run, run.hit, caller)]
        return records_of(run)

    def _hit_record(
        self, run: Run, hit: completion_pb2.CachedCompletion, caller: caller_pb2.Caller
    ) -> billing_usage.UsageRecord:
        record = billing_usage.UsageRecord(
            attempt_id=f"{run.completion_id}.1",
            completion_id=run.completion_id,
            caller=caller,
            provider=hit.provider,
            model=hit.served_model,
            usage=hit.usage,
            cache_status=cache_status_pb2.CACHE_STATUS_EXACT,
            outcome=run.outcome,
        )
        now_ns = self._clock.epoch_ns()
        elapsed_ns = round((self._clock.monotonic() - run.started_at) * 1e9)
        describe(record, run.request, now_ns - elapsed_ns, now_ns)
        return record

    def _charge_limits(self, run: Run) -> list[Awaitable[None]]:
        """Begin to settle what was used, or to give everything back when nothing was tried."""
        run.counted = _counted(run)
        ending = settling if run.counted.requests else releasing
        return [self._limits.resolve(order) for order in ending(run.reservations, run.counted)]

    async def _keep_answer(self, run: Run) -> None:
        if not (run.keeps_events and run.cache_key and run.legs and run.error is None):
            return
        if run.hit is not None or not is_worth_keeping(run.request, run.outcome, run.kept):
            return
        leg = run.legs[-1]
        if leg.target.answers_as != run.plan.targets[0].answers_as:
            # The key names the model that was asked first; another's answer is not its answer.
            return
        answer = completion_pb2.CachedCompletion(
            events=coalesce(run.kept),
            served_model=leg.target.model,
            provider=leg.target.billed_as,
            usage=leg.usage(),
            outcome=run.outcome,
        )
        order = cache.StoreRequest(
            key=run.cache_key,
            caller=run.principal.caller,
            value=answer.SerializeToString(),
            tags=[f"model:{leg.target.model}"],
            usage=answer.usage,
            cost_nanos=run.cost.amount_nanos if run.cost is not None else 0,
        )
        if run.request.cache.HasField("ttl"):
            order.ttl.CopyFrom(run.request.cache.ttl)
        try:
            await self._cache.store(order)
        except GatewayError:
            self._observer.peer_lost("cache")


def _may_count_cost(run: Run) -> bool:
    """A limit on cost binds it, or nobody could say what binds it."""
    return run.counts_cost or not run.limit_statuses


def _counted(run: Run) -> ratelimit.Amounts:
    """What limits count of it; while billing has not said what it costs, that is what was reserved for it."""
    if run.hit is None and not run.legs:
        return ratelimit.Amounts()
    counted = ratelimit.Amounts(
        requests=1, input_tokens=run.used.input_tokens, output_tokens=run.used.output_tokens
    )
    if run.cost is not None:
        counted.cost_nanos = run.cost.amount_nanos
    elif run.counts_cost:
        counted.cost_nanos = sum(each.amounts.cost_nanos for each in run.reservations)
    return counted


def _stopped(run: Run) -> GatewayError:
    if run.stop_error is not None:
        return run.stop_error
    if run.stop_outcome == outcome_pb2.OUTCOME_ABORTED:
        return OverloadedError(
            "the router is shutting down; what was produced is billed", retryable=not run.sent
        )
    return CallerCancelledError("the request was stopped before its end; what was produced is billed")


def _outcome(run: Run) -> outcome_pb2.Outcome.ValueType:
    if run.error is not None:
        return run.stop_outcome or outcome_pb2.OUTCOME_FAILED
    if run.hit is not None:
        return run.hit.outcome
    return run.legs[-1].outcome


def _finished(run: Run) -> completion_pb2.CompletionEvent:
    finished = completion_pb2.Finished(outcome=run.outcome)
    if run.hit is not None:
        finished.usage.CopyFrom(run.hit.usage)
        finished.attempts.add(
            attempt_id=f"{run.completion_id}.1",
            provider=run.hit.provider,
            model=run.hit.served_model,
            outcome=run.outcome,
            usage=run.hit.usage,
        )
    else:
        finished.usage.CopyFrom(run.used)
        finished.attempts.extend(leg.attempt() for leg in run.legs)
    if run.cost is not None:
        finished.cost.CopyFrom(run.cost)
    return completion_pb2.CompletionEvent(finished=finished)


def cache_verdict(run: Run) -> str:
    """`x-cache`: EXACT, MISS, or BYPASS when the cache was not asked."""
    if run.hit is not None:
        return "EXACT"
    return "MISS" if run.is_cacheable else "BYPASS"
