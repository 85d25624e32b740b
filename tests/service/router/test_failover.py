"""What happens to a request whose first target fails."""

import grpc

from headgate.common.v1 import outcome_pb2
from headgate.router.v1 import router_service_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, check_books, router_section
from tests.support.rpc_errors import refused


async def test_a_target_that_is_down_is_passed_over_silently(start_router: StartRouter) -> None:
    section = router_section({"m": ["sim-small@status=503", "sim-large@tokens=4"]})
    async with start_router(section) as suite:
        events = [event async for event in suite.router.StreamComplete(ask("m"), metadata=suite.metadata)]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert not any(event.HasField("failed_over") for event in events)
        assert (events[0].started.served_model, events[0].started.attempt) == ("sim-large@tokens=4", 2)
        attempts = events[-1].finished.attempts
        assert [attempt.outcome for attempt in attempts] == [
            outcome_pb2.OUTCOME_FAILED,
            outcome_pb2.OUTCOME_COMPLETE,
        ]
        assert [attempt.usage.output_tokens for attempt in attempts] == [0, 4]
        assert attempts[0].error.startswith("overloaded: HTTP 503")
        await all_settled(suite)
        await check_books(suite, runs=1, attempts=2)


async def test_after_output_the_client_is_told_that_the_answer_begins_anew(start_router: StartRouter) -> None:
    section = router_section({"m": ["sim-small@cut-after=3", "sim-small@tokens=5"]})
    async with start_router(section) as suite:
        completion = await suite.router.Complete(ask("m"), metadata=suite.metadata)
        whole = completion.choices[0].message.parts[0].text
        events = [event async for event in suite.router.StreamComplete(ask("m", 0), metadata=suite.metadata)]
        (place,) = [index for index, event in enumerate(events) if event.HasField("failed_over")]
        over = events[place].failed_over
        assert (over.from_target_id, over.to_target_id, over.content_restarts) == ("m-0", "m-1", True)
        assert "interrupted" in over.reason
        assert "".join(event.delta.text for event in events[place:]) == whole
        assert [attempt.usage.output_tokens for attempt in events[-1].finished.attempts] == [3, 5]
        assert events[-1].finished.usage.output_tokens == 8


async def test_when_all_targets_are_down_it_is_said_when_to_come_back(start_router: StartRouter) -> None:
    section = router_section({"m": ["sim-small@status=500", "sim-small@status=429,retry-after=7"]})
    async with start_router(section) as suite:
        with refused() as refusal:
            await suite.router.Complete(ask("m"), metadata=suite.metadata)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_HEALTHY_TARGET")
        assert refusal.retry_seconds == 7
        await all_settled(suite)
        await check_books(suite, runs=1, attempts=2)
        listed = await suite.router.ListTargets(
            router_service_pb2.ListTargetsRequest(), metadata=suite.metadata
        )
        states = {target.target_id: target for target in listed.targets}
        assert states["m-0"].consecutive_failures == 1
        assert states["m-1"].state == router_service_pb2.TARGET_STATE_COOLING_DOWN
        assert states["m-1"].HasField("retry_time")


async def test_after_output_and_no_other_target_a_retry_is_not_offered(start_router: StartRouter) -> None:
    async with start_router(router_section({"m": ["sim-small@error-after=3"]})) as suite:
        with refused() as refusal:
            async for _ in suite.router.StreamComplete(ask("m"), metadata=suite.metadata):
                pass
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "PROVIDER_FAILED")
        assert refusal.retry_seconds is None


async def test_a_request_at_fault_is_not_tried_elsewhere(start_router: StartRouter) -> None:
    section = router_section({"m": ["sim-small@status=400", "sim-small"]})
    async with start_router(section) as suite:
        with refused() as refusal:
            await suite.router.Complete(ask("m"), metadata=suite.metadata)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PROVIDER_REJECTED")
        await all_settled(suite)
        await check_books(suite, runs=1, attempts=1)


async def test_a_fallbacks_answer_is_not_kept_as_the_first_models(start_router: StartRouter) -> None:
    section = router_section({"m": ["sim-small@status=500", "sim-large@tokens=4"]})
    async with start_router(section) as suite:
        for _ in range(2):
            completion = await suite.router.Complete(ask("m", temperature=0), metadata=suite.metadata)
            assert completion.served_model == "sim-large@tokens=4"
        await all_settled(suite)
        assert len(await suite.entries()) == 4
