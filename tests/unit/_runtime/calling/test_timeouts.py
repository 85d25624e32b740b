"""How long to wait for a peer."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services._runtime.calling.timeouts import FACTOR, LearnedTimeout, awake_timeout
from tests.unit._runtime.calling.virtual_time import VirtualTimeLoop, run_in_virtual_time


def learnt(*taken: float, floor: float = 0.0, ceiling: float = 10.0) -> float:
    timeout = LearnedTimeout(floor, ceiling)
    for seconds in taken:
        timeout.learn(seconds)
    return timeout.seconds


def test_until_it_has_seen_some_answers_it_gives_what_may_be_given_at_most() -> None:
    assert learnt() == 10.0
    assert learnt(*[0.001] * 31) == 10.0
    assert learnt(*[0.001] * 32) == pytest.approx(FACTOR * 0.001)


def test_one_slow_answer_in_a_hundred_sets_it_and_one_in_a_thousand_does_not() -> None:
    assert learnt(*[*[0.01] * 97, *[0.5] * 3, *[0.01] * 28]) == pytest.approx(FACTOR * 0.5)
    assert learnt(*[*[0.01] * 254, 0.5, 0.01]) == pytest.approx(FACTOR * 0.01)


def test_what_was_long_ago_is_forgotten() -> None:
    assert learnt(*[1.0] * 256, *[0.02] * 256) == pytest.approx(FACTOR * 0.02)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300), st.floats(0, 1), st.floats(1, 5))
def test_it_stays_between_floor_and_ceiling(taken: list[float], floor: float, ceiling: float) -> None:
    assert floor <= learnt(*taken, floor=floor, ceiling=ceiling) <= ceiling


def test_what_takes_longer_is_ended_at_its_time() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with awake_timeout(0.5):
                await asyncio.sleep(60)
        assert asyncio.get_running_loop().time() == 0.5

    run_in_virtual_time(main())


def test_what_ends_in_time_leaves_no_timer_behind() -> None:
    async def main() -> None:
        async with awake_timeout(0.5):
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)

    run_in_virtual_time(main())


def stand_still(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop._now += seconds


def test_an_answer_that_came_while_the_loop_stood_still_is_taken() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        async with awake_timeout(0.5):
            stand_still(30.0)
            # It takes the loop some turns to hand over what has arrived.
            loop.call_later(0.01, answer.set_result, "arrived")
            assert await answer == "arrived"

    run_in_virtual_time(main())


def test_a_loop_that_stood_still_waits_for_no_longer_than_the_time_itself_once_more() -> None:
    async def main() -> None:
        async def late() -> None:
            async with awake_timeout(0.5):
                stand_still(30.0)
                await asyncio.sleep(60)

        with pytest.raises(TimeoutError):
            await late()
        assert asyncio.get_running_loop().time() == 30.5

    run_in_virtual_time(main())


def test_who_is_cancelled_by_somebody_else_stays_cancelled() -> None:
    async def main() -> None:
        async def waiting() -> None:
            async with awake_timeout(0.5):
                await asyncio.sleep(60)

        task = asyncio.create_task(waiting())
        # Both in one turn of the loop.
        asyncio.get_running_loop().call_at(0.5, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    run_in_virtual_time(main())


def test_what_it_ends_may_fail_in_its_own_way() -> None:
    async def main() -> None:
        async def translated() -> None:
            async with awake_timeout(0.5):
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    raise ConnectionError from None

        with pytest.raises(ConnectionError):
            await translated()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run_in_virtual_time(main())
