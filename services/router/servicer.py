"""RouterService and JobService: from gRPC to the pipeline and back."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from google.protobuf import timestamp_pb2

from headgate.common.v1 import outcome_pb2
from headgate.common.v1.caller_pb2 import Caller
from headgate.router.v1 import (
    completion_pb2,
    job_service_pb2_grpc,
    mine_pb2,
    router_service_pb2,
    router_service_pb2_grpc,
)
from services._runtime import context as request_context
from services._runtime.errors import FieldViolation
from services._runtime.process.watchdog import Watchdog
from services.router.accounts.limit_amounts import limit_headers
from services.router.accounts.mine import Mine
from services.router.answers.collect import collect
from services.router.errors import ModelNotFoundError, NotImplementedYetError, SlowClientError
from services.router.pipeline import Pipeline, cache_verdict
from services.router.run import Run
from services.router.targets.catalog import Catalog, Target
from services.router.targets.counting import count_tokens
from services.router.targets.health import State, TargetHealth

_DEADLINE_SLACK_SECONDS = 0.25
_STATES = {
    State.HEALTHY: router_service_pb2.TARGET_STATE_HEALTHY,
    State.OPEN: router_service_pb2.TARGET_STATE_OPEN,
    State.HALF_OPEN: router_service_pb2.TARGET_STATE_HALF_OPEN,
    State.COOLING_DOWN: router_service_pb2.TARGET_STATE_COOLING_DOWN,
    State.DISABLED: router_service_pb2.TARGET_STATE_DISABLED,
}
_CAPABILITIES = {
    name.removeprefix("CAPABILITY_").lower(): number
    for name, number in router_service_pb2.Capability.items()
    if number
}


class RouterServicer(router_service_pb2_grpc.RouterServiceServicer):
    """headgate.router.v1.RouterService."""

    def __init__(
        self,
        pipeline: Pipeline,
        catalog: Catalog,
        health: Mapping[str, TargetHealth],
        mine: Mine,
        write_timeout_seconds: float,
    ) -> None:
        self._pipeline = pipeline
        self._catalog = catalog
        self._health = health
        self._mine = mine
        self._write_timeout_seconds = write_timeout_seconds

    async def Complete(  # noqa: N802
        self, request: completion_pb2.CompletionRequest, _context: Any
    ) -> completion_pb2.Completion:
        run = self._begin(request, streamed=False)
        with self._attended(run):
            return collect(await run.all_events())

    async def StreamComplete(  # type: ignore[override]  # noqa: N802 - it writes, because a write must be bounded in time
        self, request: completion_pb2.CompletionRequest, context: Any
    ) -> None:
        run = self._begin(request, streamed=True)
        with self._attended(run):
            await self._deliver(run, context.write)

    def _begin(self, request: completion_pb2.CompletionRequest, *, streamed: bool) -> Run:
        if request.cache.semantic:
            raise _not_implemented("cache.semantic")
        return self._pipeline.begin(request, request_context.current().principal, streamed=streamed)

    async def _deliver(self, run: Run, write: Any) -> None:
        loop, handler = asyncio.get_running_loop(), asyncio.current_task()
        assert handler is not None  # noqa: S101 - gRPC runs every handler as a task
        patience = Watchdog(loop, handler.cancel)
        try:
            while events := await run.next_events():
                for event in events:
                    patience.watch(loop.time() + self._write_timeout_seconds)
                    await write(event)
                patience.rest()
        except asyncio.CancelledError:
            if not patience.barked:
                raise
            handler.uncancel()
            self._pipeline.stop(run, outcome_pb2.OUTCOME_ABORTED)
            raise SlowClientError(
                f"nothing was read for {self._write_timeout_seconds:g} s; read faster, or ask for less"
            ) from None
        finally:
            patience.dismiss()

    @contextmanager
    def _attended(self, run: Run) -> Iterator[None]:
        """While the handler lives, so does the run; when the handler is torn away, the run is stopped and settled."""
        try:
            yield
        except BaseException:
            self._pipeline.stop(run, _why())
            raise
        finally:
            run.forget()
            request_context.current().trailing_metadata.extend(_metadata_of(run))

    def ResumeCompletion(  # noqa: N802
        self, _request: router_service_pb2.ResumeCompletionRequest, _context: Any
    ) -> NoReturn:
        raise _not_implemented("ResumeCompletion")

    async def CountTokens(  # noqa: N802
        self, request: router_service_pb2.CountTokensRequest, _context: Any
    ) -> router_service_pb2.CountTokensResponse:
        tokens, source = await count_tokens(request, self._catalog)
        return router_service_pb2.CountTokensResponse(input_tokens=tokens, source=source)

    async def Embed(  # noqa: N802
        self, _request: router_service_pb2.EmbedRequest, _context: Any
    ) -> router_service_pb2.EmbedResponse:
        raise _not_implemented("Embed")

    async def ListModels(  # noqa: N802
        self, _request: router_service_pb2.ListModelsRequest, _context: Any
    ) -> router_service_pb2.ListModelsResponse:
        models = [_model(name, targets) for name, targets in sorted(self._catalog.models.items())]
        return router_service_pb2.ListModelsResponse(models=models)

    async def GetModel(  # noqa: N802
        self, request: router_service_pb2.GetModelRequest, _context: Any
    ) -> router_service_pb2.GetModelResponse:
        targets = self._catalog.models.get(request.model_id)
        if targets is None:
            raise ModelNotFoundError(
                f"no model or alias `{request.model_id}`",
                field_violations=[FieldViolation("model_id", "ListModels has them all")],
            )
        return router_service_pb2.GetModelResponse(model=_model(request.model_id, targets))

    async def ListTargets(  # noqa: N802
        self, _request: router_service_pb2.ListTargetsRequest, _context: Any
    ) -> router_service_pb2.ListTargetsResponse:
        targets = [
            _target(target, self._health[target_id])
            for target_id, target in sorted(self._catalog.targets.items())
        ]
        return router_service_pb2.ListTargetsResponse(targets=targets)

    async def GetMyself(  # noqa: N802
        self, _request: mine_pb2.GetMyselfRequest, _context: Any
    ) -> mine_pb2.GetMyselfResponse:
        return await self._mine.myself(_caller())

    async def GetMyUsage(  # noqa: N802
        self, request: mine_pb2.GetMyUsageRequest, _context: Any
    ) -> mine_pb2.GetMyUsageResponse:
        return await self._mine.usage(_caller(), request)

    async def ListMyLimits(  # noqa: N802
        self, request: mine_pb2.ListMyLimitsRequest, _context: Any
    ) -> mine_pb2.ListMyLimitsResponse:
        return await self._mine.limits(_caller(), request)

    async def ListMyBudgets(  # noqa: N802
        self, request: mine_pb2.ListMyBudgetsRequest, _context: Any
    ) -> mine_pb2.ListMyBudgetsResponse:
        return await self._mine.budgets(_caller(), request)


class JobServicer(job_service_pb2_grpc.JobServiceServicer):
    """headgate.router.v1.JobService: in the contract, not in this version."""

    async def SubmitJob(self, _request: Any, _context: Any) -> NoReturn:  # noqa: N802
        raise _not_implemented("SubmitJob")

    async def GetJob(self, _request: Any, _context: Any) -> NoReturn:  # noqa: N802
        raise _not_implemented("GetJob")

    async def ListJobs(self, _request: Any, _context: Any) -> NoReturn:  # noqa: N802
        raise _not_implemented("ListJobs")

    async def CancelJob(self, _request: Any, _context: Any) -> NoReturn:  # noqa: N802
        raise _not_implemented("CancelJob")

    def WatchJob(self, _request: Any, _context: Any) -> NoReturn:  # noqa: N802
        raise _not_implemented("WatchJob")


def _not_implemented(rpc: str) -> NotImplementedYetError:
    return NotImplementedYetError(f"{rpc} is in the contract, and not in this version")


def _caller() -> Caller:
    caller: Caller = request_context.current().principal.caller
    return caller


def _why() -> outcome_pb2.Outcome.ValueType:
    remaining = request_context.current().remaining_seconds(time.monotonic())
    # The client's clock starts earlier, so its cancel at the deadline comes a little before our own deadline.
    if remaining is not None and remaining <= _DEADLINE_SLACK_SECONDS:
        return outcome_pb2.OUTCOME_DEADLINE_EXCEEDED
    return outcome_pb2.OUTCOME_CANCELLED


def _metadata_of(run: Run) -> Iterator[tuple[str, str]]:
    yield "x-cache", cache_verdict(run)
    yield from limit_headers(run.limit_statuses, [each.amounts for each in run.reservations], run.counted)
    if run.cost is not None:
        yield "x-headgate-cost-nanos", str(run.cost.amount_nanos)


def _model(name: str, targets: Any) -> router_service_pb2.Model:
    model = router_service_pb2.Model(model_id=name, target_ids=[target.target_id for target in targets])
    windows = [target.context_window for target in targets]
    answers = [target.max_output_tokens for target in targets]
    if None not in windows:
        model.context_window = max(windows)
    if None not in answers:
        model.max_output_tokens = max(answers)
    able = {name for target in targets for name in (target.capabilities or ())}
    model.capabilities.extend(sorted(_CAPABILITIES[name] for name in able))
    return model


def _target(target: Target, health: TargetHealth) -> router_service_pb2.Target:
    message = router_service_pb2.Target(
        target_id=target.target_id,
        provider=target.provider_id,
        model=target.model,
        state=_STATES[health.state],
        reason=health.reason,
        consecutive_failures=health.consecutive_failures,
        in_flight=health.in_flight,
    )
    if health.since:
        message.state_time.CopyFrom(_wall(health.since))
    if health.retry_at is not None:
        message.retry_time.CopyFrom(_wall(health.retry_at))
    return message


def _wall(monotonic: float) -> timestamp_pb2.Timestamp:
    """Health is kept in monotonic time; people read the calendar's."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromNanoseconds(time.time_ns() + round((monotonic - time.monotonic()) * 1e9))
    return stamp
