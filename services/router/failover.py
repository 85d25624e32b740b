"""Asks one target after another until one has answered whole."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Any

from headgate.common.v1 import cache_status_pb2, outcome_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.errors import FieldViolation, GatewayError, OverloadedError
from services._runtime.telemetry import semconv
from services.router.answers.leg import Leg
from services.router.answers.overrun import Bounds
from services.router.errors import (
    ContextLengthExceededError,
    NoHealthyTargetError,
    ProviderFailedError,
    ProviderRejectedError,
)
from services.router.run import Run
from services.router.targets.catalog import Target
from services.router.targets.health import TargetHealth
from services.router.targets.options import answers_generated
from services.router.targets.provider import RETRYABLE, FailureKind, ProviderError

DEFAULT_RETRY_SECONDS = 1.0
# Whoever reads the answer waits for it.
_COUNT_SECONDS = 2.0
_REFUSED = (FailureKind.REJECTED, FailureKind.FILTERED, FailureKind.UNAFFORDABLE)


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that only go forward, and nanoseconds since the epoch."""

    monotonic: Callable[[], float]
    epoch_ns: Callable[[], int]


class Failover:
    """Tries a plan's targets in order, and keeps their health."""

    def __init__(
        self,
        *,
        health: Mapping[str, TargetHealth],
        clock: Clock,
        output_bound: Callable[[Run, int | None], int | None],
        spans: Callable[[str, Mapping[str, Any]], AbstractContextManager[Any]],
        cover_retry: Callable[[Run], Awaitable[None]],
        on_failure: Callable[[Leg, ProviderError], None],
        longest_stream_seconds: float,
    ) -> None:
        self._health = health
        self._clock = clock
        self._output_bound = output_bound
        self._spans = spans
        self._cover_retry = cover_retry
        self._on_failure = on_failure
        self._longest_stream_seconds = longest_stream_seconds

    async def generate(self, run: Run) -> None:
        """Emit one whole answer; every attempt is left in `run.legs`.

        :raises GatewayError: no target could, or the request is at fault.
        :raises StoppedError: the run was stopped; the last leg says what it had used.
        """
        last: ProviderError | None = None
        for target in run.plan.targets:
            if not self._health[target.target_id].admits(self._clock.monotonic()):
                continue
            if last is not None:
                await self._cover(run, last)
            leg = self._begin(run, target)
            try:
                await self._ask(run, leg)
            except ProviderError as error:
                last = error
                leg.fail(error.kind, error.message, self._clock.epoch_ns())
                caller = run.principal.caller
                who = f"{caller.organization_id}/{caller.user_id}/{caller.key_id}"
                self._health[target.target_id].fail(error, self._clock.monotonic(), who)
                self._on_failure(leg, error)
                if error.kind not in RETRYABLE:
                    break
            except BaseException:
                # Stopped, or the process ends: no verdict on the target.
                leg.stop(run.stop_outcome or outcome_pb2.OUTCOME_FAILED, self._clock.epoch_ns())
                self._health[target.target_id].abandon(self._clock.monotonic())
                raise
            else:
                leg.complete(self._clock.epoch_ns())
                self._health[target.target_id].succeed(self._clock.monotonic())
                if not leg.has_input_count:
                    await self._count_input(run, leg)
                return
            run.check()
        raise self._failure(run, last)

    async def _cover(self, run: Run, last: ProviderError) -> None:
        try:
            await self._cover_retry(run)
        except GatewayError as refusal:
            refusal.message = f"{_target_id(run)} failed ({last.kind}: {last.message}), and another attempt is not covered: {refusal.message}"
            refusal.retryable = refusal.retryable and not run.sent
            raise

    def _begin(self, run: Run, target: Target) -> Leg:
        leg = Leg(
            attempt_id=f"{run.completion_id}.{len(run.legs) + 1}",
            target=target,
            start_ns=self._clock.epoch_ns(),
            estimated_input_tokens=run.plan.input_tokens,
        )
        self._health[target.target_id].begin(self._clock.monotonic())
        run.legs.append(leg)
        return leg

    async def _ask(self, run: Run, leg: Leg) -> None:
        target = leg.target
        most = self._output_bound(run, target.max_output_tokens)
        if most is not None:
            leg.most_output_tokens = most * answers_generated(run.request)
        bounds = self._bounds(run, leg, most) if run.streamed else None
        chunks = target.provider.complete(
            target.model,
            run.request,
            streamed=run.streamed,
            max_output_tokens=most,
            request_id=leg.attempt_id,
            share=run.share.another(),
        )
        with self._spans(f"chat {target.model}", _attributes(run, leg)) as span, run.interruptible():
            async with aclosing(chunks):
                async for chunk in chunks:
                    now_ns = self._clock.epoch_ns()
                    leg.take(chunk, now_ns)
                    if chunk.events:
                        await run.emit(chunk.events if leg.opened else [_opening(run, leg), *chunk.events])
                    if bounds is not None and bounds.are_passed(leg, now_ns):
                        await run.emit(leg.cut(bounds.choices))
                        break
            if span is not None:
                span.set_attributes(_usage_attributes(leg))

    async def _count_input(self, run: Run, leg: Leg) -> None:
        """Of an answer that came without a count, where the provider has a way to ask for it; what it can't tell stays estimated."""
        try:
            async with asyncio.timeout(_COUNT_SECONDS):
                counted = await leg.target.provider.count_tokens(leg.target.model, run.request)
        except (ProviderError, TimeoutError):
            return
        if counted:
            most = run.plan.most_input_tokens
            leg.estimated_input_tokens = counted if most is None else min(counted, most)

    def _bounds(self, run: Run, leg: Leg, most: int | None) -> Bounds:
        choices = run.request.choice_count or 1
        left = self._longest_stream_seconds - (self._clock.monotonic() - run.started_at)
        return Bounds(choices, None if most is None else most * choices, leg.start_ns + int(left * 1e9))

    def _failure(self, run: Run, last: ProviderError | None) -> GatewayError:
        if last is None:
            return NoHealthyTargetError(
                f"every target of `{run.request.model}` rests after failures: {self._states(run)}",
                retry_after_seconds=self._soonest(run),
            )
        if last.kind in _REFUSED:
            logged = "what it said is in the router's log, under" if last.said else "it is"
            return ProviderRejectedError(
                f"{_target_id(run)} refused the request: {last.message}; {logged} the attempt {run.legs[-1].attempt_id}"
            )
        if last.kind is FailureKind.NO_ROOM:
            return OverloadedError(f"{_target_id(run)}: {last.message}", retryable=False)
        if last.kind is FailureKind.CONTEXT_LENGTH:
            return ContextLengthExceededError(
                f"{_target_id(run)}: {last.message}",
                field_violations=[FieldViolation("messages", "shorten the conversation")],
            )
        if run.sent:
            return ProviderFailedError(
                f"{_target_id(run)} failed after output was sent: {last.kind}: {last.message}"
            )
        return NoHealthyTargetError(
            f"no target of `{run.request.model}` answered; the last, {_target_id(run)}, failed: "
            f"{last.kind}: {last.message}",
            retry_after_seconds=last.retry_after_seconds or self._soonest(run),
        )

    def _states(self, run: Run) -> str:
        states = ((target.target_id, self._health[target.target_id]) for target in run.plan.targets)
        return ", ".join(f"{name} is {health.state} ({health.reason})" for name, health in states)

    def _soonest(self, run: Run) -> float:
        now = self._clock.monotonic()
        waits = [self._health[target.target_id].retry_at for target in run.plan.targets]
        left = [max(0.0, retry_at - now) for retry_at in waits if retry_at is not None]
        return min(left) if left else DEFAULT_RETRY_SECONDS


def _attributes(run: Run, leg: Leg) -> dict[str, Any]:
    return {
        semconv.GEN_AI_OPERATION_NAME: semconv.OPERATION_CHAT,
        semconv.GEN_AI_PROVIDER_NAME: leg.target.billed_as,
        semconv.GEN_AI_REQUEST_MODEL: leg.target.model,
        semconv.GEN_AI_REQUEST_STREAM: run.streamed,
        semconv.ATTEMPT_ID: leg.attempt_id,
        semconv.ORGANIZATION_ID: run.principal.caller.organization_id,
    }


def _usage_attributes(leg: Leg) -> dict[str, Any]:
    usage = leg.usage()
    return {
        semconv.GEN_AI_USAGE_INPUT_TOKENS: usage.input_tokens,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS: usage.output_tokens,
    }


def _opening(run: Run, leg: Leg) -> completion_pb2.CompletionEvent:
    """What comes before a leg's first events: `started` once, and `failed_over` when an earlier leg had sent output."""
    leg.opened = True
    if run.sent == 0:
        return _started(run, leg)
    earlier = [other for other in run.legs if other is not leg and other.opened]
    run.restart()
    failed_over = completion_pb2.FailedOver(
        from_target_id=earlier[-1].target.target_id,
        to_target_id=leg.target.target_id,
        reason=earlier[-1].error,
        content_restarts=True,
    )
    return completion_pb2.CompletionEvent(failed_over=failed_over)


def _started(run: Run, leg: Leg) -> completion_pb2.CompletionEvent:
    return completion_pb2.CompletionEvent(
        started=completion_pb2.Started(
            completion_id=run.completion_id,
            requested_model=run.request.model,
            served_model=leg.target.model,
            provider=leg.target.billed_as,
            cache_status=cache_status_pb2.CACHE_STATUS_MISS
            if run.is_cacheable
            else cache_status_pb2.CACHE_STATUS_BYPASS,
            attempt=len(run.legs),
        )
    )


def _target_id(run: Run) -> str:
    return run.legs[-1].target.target_id
