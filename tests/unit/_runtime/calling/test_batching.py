"""Paced batching, in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services._runtime import context
from services._runtime.calling.batching import PATIENCE_SECONDS, PacedBatcher
from services._runtime.context import RequestContext
from services._runtime.errors import Code, GatewayError, InternalError, PeerUnavailableError
from services._runtime.telemetry.metrics import BatchMetrics
from tests.unit._runtime.calling.virtual_time import run_in_virtual_time

PACE = 0.004


class RecordingPeer:
    """A peer that takes `rtt_seconds`, doubles each number, and refuses or fails on request."""

    def __init__(
        self, rtt_seconds: float = 0.001, *, fails: Sequence[int] = (), refuses: Sequence[int] = ()
    ) -> None:
        self.rtt_seconds = rtt_seconds
        self.fails, self.refuses = set(fails), set(refuses)
        self.departures: list[tuple[float, float, list[int]]] = []
        self.contexts: list[RequestContext] = []

    async def send(self, numbers: list[int]) -> list[int | GatewayError]:
        loop = asyncio.get_running_loop()
        left = loop.time()
        self.contexts.append(context.current())
        await asyncio.sleep(self.rtt_seconds)
        self.departures.append((left, loop.time(), numbers))
        if self.fails & set(numbers):
            raise PeerUnavailableError("gone")
        return [InternalError("refused") if number in self.refuses else number * 2 for number in numbers]

    @property
    def batches(self) -> list[list[int]]:
        return [numbers for _, _, numbers in self.departures]


def test_a_lone_call_leaves_at_once_and_so_does_the_next_lone_call() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        assert [await batcher.call(1), await batcher.call(2)] == [2, 4]
        assert [left for left, _, _ in peer.departures] == [0.0, 0.001]

    run_in_virtual_time(main())


def test_calls_of_one_turn_share_a_batch_and_each_gets_its_own_answer() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        assert await asyncio.gather(*(batcher.call(n) for n in range(5))) == [0, 2, 4, 6, 8]
        assert peer.batches == [[0, 1, 2, 3, 4]]

    run_in_virtual_time(main())


def test_after_a_shared_batch_the_next_leaves_a_pace_after_the_last_left() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        await asyncio.gather(batcher.call(1), batcher.call(2))
        await batcher.call(3)
        assert [left for left, _, _ in peer.departures] == [0.0, PACE]

    run_in_virtual_time(main())


def test_calls_that_queued_behind_a_lone_one_leave_the_moment_it_returns() -> None:
    async def main() -> None:
        peer = RecordingPeer(rtt_seconds=0.003)
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        first = asyncio.create_task(batcher.call(1))
        await asyncio.sleep(0.001)
        await asyncio.gather(first, batcher.call(2), batcher.call(3))
        assert [(left, numbers) for left, _, numbers in peer.departures] == [(0.0, [1]), (0.003, [2, 3])]

    run_in_virtual_time(main())


def test_a_full_batch_does_not_wait_for_the_pace() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, max_size=3, pace=lambda: PACE)
        await asyncio.gather(*(batcher.call(n) for n in range(3)))
        await asyncio.gather(*(batcher.call(n) for n in range(3, 6)))
        assert peer.batches == [[0, 1, 2], [3, 4, 5]]
        assert peer.departures[1][0] == 0.001

    run_in_virtual_time(main())


def test_a_caller_cancelled_in_the_queue_is_never_sent() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        tasks = [asyncio.create_task(batcher.call(n)) for n in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert peer.batches == [[0, 2, 3]]
        assert [results[0], results[2], results[3]] == [0, 4, 6]
        assert isinstance(results[1], asyncio.CancelledError)

    run_in_virtual_time(main())


def test_a_caller_cancelled_in_flight_harms_no_other() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        tasks = [asyncio.create_task(batcher.call(n)) for n in range(3)]
        await asyncio.sleep(0.0005)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1:] == [2, 4]
        assert peer.batches == [[0, 1, 2]]

    run_in_virtual_time(main())


def test_a_failed_batch_fails_its_own_calls_and_no_others() -> None:
    async def main() -> None:
        peer = RecordingPeer(fails=[1])
        batcher = PacedBatcher(peer.send, max_size=2, pace=lambda: PACE)
        results = await asyncio.gather(*(batcher.call(n) for n in range(4)), return_exceptions=True)
        assert [type(result) for result in results] == [PeerUnavailableError, PeerUnavailableError, int, int]

    run_in_virtual_time(main())


def test_an_item_that_the_peer_refuses_is_raised_to_its_caller_alone() -> None:
    async def main() -> None:
        batcher = PacedBatcher(RecordingPeer(refuses=[1]).send, pace=lambda: PACE)
        results = await asyncio.gather(*(batcher.call(n) for n in range(3)), return_exceptions=True)
        assert [results[0], results[2]] == [0, 4]
        assert isinstance(results[1], InternalError)

    run_in_virtual_time(main())


def test_a_peer_that_answers_too_few_items_fails_the_batch() -> None:
    async def main() -> None:
        async def send(numbers: list[int]) -> list[int]:
            return numbers[1:]

        with pytest.raises(InternalError, match="1 calls got 0 results"):
            await PacedBatcher(send).call(1)

    run_in_virtual_time(main())


def test_closing_with_a_drain_sends_what_waits_and_then_refuses() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, max_size=2, pace=lambda: 10.0)
        tasks = [asyncio.create_task(batcher.call(n)) for n in range(5)]
        await asyncio.sleep(0)
        await batcher.close(drain_seconds=1.0)
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]
        with pytest.raises(PeerUnavailableError):
            await batcher.call(9)

    run_in_virtual_time(main())


def test_closing_at_once_fails_what_waits_and_what_flies() -> None:
    async def main() -> None:
        batcher = PacedBatcher(RecordingPeer(rtt_seconds=60).send, max_size=1)
        tasks = [asyncio.create_task(batcher.call(n)) for n in range(2)]
        await asyncio.sleep(1)
        await batcher.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, PeerUnavailableError) for result in results] == [True, True]
        assert asyncio.get_running_loop().time() == 1

    run_in_virtual_time(main())


def test_a_drain_that_takes_too_long_ends_by_failing_the_rest() -> None:
    async def main() -> None:
        batcher = PacedBatcher(RecordingPeer(rtt_seconds=60).send)
        task = asyncio.create_task(batcher.call(1))
        await asyncio.sleep(0)
        await batcher.close(drain_seconds=2)
        with pytest.raises(PeerUnavailableError) as raised:
            await task
        assert raised.value.code is Code.UNAVAILABLE
        assert asyncio.get_running_loop().time() == 2

    run_in_virtual_time(main())


def test_sizes_and_queue_lengths_are_measured_by_peer() -> None:
    async def main() -> None:
        registry = CollectorRegistry()
        batcher = PacedBatcher(
            RecordingPeer().send, max_size=2, on_departure=BatchMetrics(registry).of("cache")
        )
        await asyncio.gather(*(batcher.call(n) for n in range(3)))
        assert registry.get_sample_value("headgate_batch_size_sum", {"peer": "cache"}) == 3
        assert registry.get_sample_value("headgate_batch_size_count", {"peer": "cache"}) == 2
        assert registry.get_sample_value("headgate_batch_queued", {"peer": "cache"}) == 0

    run_in_virtual_time(main())


def test_a_lone_call_goes_on_in_its_callers_trace_without_its_deadline() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        caller = RequestContext(
            request_id="r", trace_id="a" * 32, span_id="b" * 16, sampled=True, deadline=1.0
        )
        context.enter(caller)
        await PacedBatcher(peer.send).call(1)
        assert peer.contexts[0].traceparent == caller.traceparent
        assert peer.contexts[0].request_id == "r"
        assert peer.contexts[0].deadline is None
        assert context.current() is caller

    run_in_virtual_time(main())


def test_a_shared_batch_continues_one_sampled_trace_and_links_the_other_sampled_ones() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send)

        async def caller(index: int, *, sampled: bool) -> None:
            context.enter(RequestContext(trace_id=f"{index:032x}", span_id=f"{index:016x}", sampled=sampled))
            await batcher.call(index)

        await asyncio.gather(caller(1, sampled=False), caller(2, sampled=True), caller(3, sampled=True))
        assert peer.contexts[0].traceparent == f"00-{2:032x}-{2:016x}-01"
        assert peer.contexts[0].links == ((f"{3:032x}", f"{3:016x}"),)

    run_in_virtual_time(main())


CALLS = st.lists(
    # arrives, and is cancelled, in ms; is patient
    st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(0, 12)), st.booleans()),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150)
@given(
    CALLS, st.integers(1, 6), st.sampled_from([0.0005, 0.003, 0.009]), st.sets(st.integers(0, 39), max_size=4)
)
def test_whatever_the_schedule_each_call_is_sent_once_and_answered_once(
    calls: list[tuple[int, int | None, bool]], max_size: int, rtt_seconds: float, fails: set[int]
) -> None:
    async def main() -> None:
        peer = RecordingPeer(rtt_seconds, fails=sorted(fails))
        batcher = PacedBatcher(peer.send, max_size=max_size, pace=lambda: PACE)

        async def caller(number: int, arrives_ms: int, cancelled_ms: int | None, is_patient: bool) -> int:
            await asyncio.sleep(arrives_ms / 1000)
            async with asyncio.timeout(None if cancelled_ms is None else cancelled_ms / 1000):
                return await batcher.submit(number, is_patient=is_patient)

        results = await asyncio.gather(
            *(caller(number, *call) for number, call in enumerate(calls)), return_exceptions=True
        )
        await batcher.close(drain_seconds=1)
        check(peer, results, fails, max_size)

    def check(
        peer: RecordingPeer, results: list[int | BaseException], fails: set[int], max_size: int
    ) -> None:
        sent = [number for batch in peer.batches for number in batch]
        assert len(sent) == len(set(sent))
        failed = {number for batch in peer.batches if fails & set(batch) for number in batch}
        for number, result in enumerate(results):
            if isinstance(result, TimeoutError):
                assert calls[number][1] is not None
            elif isinstance(result, PeerUnavailableError):
                assert number in failed
            else:
                assert (result, number in sent, number in failed) == (number * 2, True, False)
        assert all(1 <= len(batch) <= max_size for batch in peer.batches)
        for (left, returned, batch), (next_left, _, next_batch) in pairwise(peer.departures):
            assert next_left >= returned
            # (A call that is cancelled in the turn in which it filled the queue has let the others leave.)
            if (
                max(Counter(calls[number][2] for number in batch).values()) > 1
                and len(next_batch) < max_size
                and all(cancelled is None for _, cancelled, _ in calls)
            ):
                assert next_left >= left + PACE - 1e-9

    run_in_virtual_time(main())


def test_a_patient_call_leaves_with_the_next_that_is_not() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        patient = batcher.submit(1, is_patient=True)
        await asyncio.sleep(0.010)
        await asyncio.gather(patient, batcher.call(2))
        assert [(left, numbers) for left, _, numbers in peer.departures] == [(0.010, [1, 2])]

    run_in_virtual_time(main())


def test_a_patient_call_that_nobody_joins_leaves_by_itself() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        first = batcher.submit(1, is_patient=True)
        await asyncio.sleep(0.010)
        await asyncio.gather(first, batcher.submit(2, is_patient=True))
        assert [(left, numbers) for left, _, numbers in peer.departures] == [(PATIENCE_SECONDS, [1, 2])]

    run_in_virtual_time(main())


def test_one_patient_call_is_no_company_for_which_the_next_would_be_paced_and_two_are() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        await asyncio.gather(batcher.submit(1, is_patient=True), batcher.call(2))
        await asyncio.gather(*(batcher.submit(n, is_patient=True) for n in (3, 4)), batcher.call(5))
        await batcher.call(6)
        assert [(left, numbers) for left, _, numbers in peer.departures] == [
            (0.0, [1, 2]),
            (0.001, [3, 4, 5]),
            (0.001 + PACE, [6]),
        ]

    run_in_virtual_time(main())


def test_a_patient_call_waits_on_when_a_flight_that_it_missed_returns() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        first = asyncio.create_task(batcher.call(1))
        await asyncio.sleep(0.0005)
        patient = batcher.submit(2, is_patient=True)
        await first
        await asyncio.sleep(0.005)
        await asyncio.gather(patient, batcher.call(3))
        assert peer.batches == [[1], [2, 3]]

    run_in_virtual_time(main())


def test_closing_sends_patient_calls_at_once() -> None:
    async def main() -> None:
        peer = RecordingPeer()
        batcher = PacedBatcher(peer.send, pace=lambda: PACE)
        patient = batcher.submit(1, is_patient=True)
        await batcher.close(drain_seconds=1.0)
        assert await patient == 2
        assert [left for left, _, _ in peer.departures] == [0.0]

    run_in_virtual_time(main())
