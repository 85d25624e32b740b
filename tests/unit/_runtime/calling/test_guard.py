"""Asking a peer while it answers, in virtual time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from services._runtime.calling.breaker import FIRST_REST_SECONDS, State
from services._runtime.calling.guard import Guard
from services._runtime.calling.timeouts import LearnedTimeout, awake_timeout
from services._runtime.errors import (
    DeadlineExceededError,
    GatewayError,
    InvalidFieldError,
    PeerUnavailableError,
)
from tests.unit._runtime.calling.virtual_time import run_in_virtual_time

TIMEOUT = 0.5


class Peer:
    """Answers after `seconds`, with `failure` when there is one; hangs while it is stopped."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.answered = 0
        self.seconds = 0.001
        self.failure: Exception | None = None
        self.going = asyncio.Event()
        self.going.set()

    async def call(self, timeout_seconds: float) -> str:
        self.asked.append(asyncio.get_running_loop().time())
        try:
            async with awake_timeout(timeout_seconds):
                await self.going.wait()
                await asyncio.sleep(self.seconds)
        except TimeoutError:
            raise DeadlineExceededError("no answer") from None
        if self.failure is not None:
            raise self.failure
        self.answered += 1
        return "answer"


class Asking:
    """A guarded peer, and what became of each question."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.usual = LearnedTimeout(TIMEOUT, TIMEOUT)
        self.guard = Guard("ratelimit", asyncio.get_running_loop().time, structlog.get_logger())

    async def ask(self, **options: Any) -> tuple[str, float]:
        """What it came to, and how long it took."""
        began = asyncio.get_running_loop().time()
        try:
            outcome = await self.guard.ask(self.peer.call, self.usual, **options)
        except GatewayError as error:
            outcome = error.reason
        return outcome, round(asyncio.get_running_loop().time() - began, 3)

    async def ask_for(self, seconds: float, every: float = 0.01) -> list[tuple[str, float]]:
        """One question after another, `every` so many seconds."""
        asked = []
        for _ in range(round(seconds / every)):
            asked.append(asyncio.create_task(self.ask()))
            await asyncio.sleep(every)
        return list(await asyncio.gather(*asked))


def waited(outcomes: Sequence[tuple[str, float]]) -> list[float]:
    return [seconds for _, seconds in outcomes if seconds > 0]


def test_a_peer_that_hangs_costs_one_time_out_and_then_nothing() -> None:
    async def main() -> None:
        asking = Asking()
        asking.peer.going.clear()
        assert await asking.ask() == ("DEADLINE_EXCEEDED", TIMEOUT)
        outcomes = await asking.ask_for(20.0)
        assert set(outcomes) == {("PEER_UNAVAILABLE", 0.0)}
        # Rests of 0.1, 0.2, 0.4, 0.8 and then 1 s, each followed by a probe of half a second.
        assert len(asking.peer.asked) == pytest.approx(15, abs=2)
        assert asking.guard.state is not State.CLOSED

    run_in_virtual_time(main())


def test_questions_that_hang_together_wait_for_one_time_out_each() -> None:
    async def main() -> None:
        asking = Asking()
        asking.peer.going.clear()
        outcomes = await asyncio.gather(*(asking.ask() for _ in range(20)))
        assert set(outcomes) == {("DEADLINE_EXCEEDED", TIMEOUT)}
        assert await asking.ask() == ("PEER_UNAVAILABLE", 0.0)

    run_in_virtual_time(main())


def test_a_peer_that_goes_on_is_asked_again_within_two_seconds() -> None:
    async def main() -> None:
        asking = Asking()
        asking.peer.going.clear()
        await asking.ask_for(20.0)
        asking.peer.going.set()
        outcomes = await asking.ask_for(2.0)
        assert outcomes[-1][0] == "answer"
        assert asking.guard.state is State.CLOSED

    run_in_virtual_time(main())


def test_nobody_waits_for_a_probe_and_its_answer_closes_the_breaker() -> None:
    async def main() -> None:
        asking = Asking()
        asking.peer.failure = PeerUnavailableError("down")
        await asking.ask()
        asking.peer.failure, asking.peer.seconds = None, 0.2
        await asyncio.sleep(FIRST_REST_SECONDS)
        assert await asking.ask() == ("PEER_UNAVAILABLE", 0.0)
        assert (asking.guard.state, asking.peer.answered) == (State.HALF_OPEN, 0)
        await asyncio.sleep(0.25)
        assert (asking.guard.state, asking.peer.answered) == (State.CLOSED, 1)
        assert await asking.ask() == ("answer", 0.2)

    run_in_virtual_time(main())


def test_a_refusal_is_an_answer() -> None:
    async def main() -> None:
        asking = Asking()
        asking.peer.failure = InvalidFieldError("no")
        for _ in range(100):
            assert (await asking.ask())[0] == "INVALID_FIELD"
        assert asking.guard.state is State.CLOSED

    run_in_virtual_time(main())


def test_a_callers_own_short_deadline_takes_no_peer_for_lost() -> None:
    async def main() -> None:
        asking = Asking()
        asking.peer.seconds, asking.peer.failure = 0.01, DeadlineExceededError("the caller's time is over")
        for _ in range(100):
            assert (await asking.ask())[0] == "DEADLINE_EXCEEDED"
        assert asking.guard.state is State.CLOSED

    run_in_virtual_time(main())


def test_answers_that_say_nothing_are_none() -> None:
    async def main() -> None:
        asking = Asking()
        assert await asking.ask(is_lost=lambda answer: answer == "answer") == ("answer", 0.001)
        assert await asking.ask() == ("PEER_UNAVAILABLE", 0.0)

    run_in_virtual_time(main())


def test_a_defect_while_probing_is_logged_and_another_probe_follows() -> None:
    async def main() -> None:
        asking = Asking()
        asking.peer.failure = PeerUnavailableError("down")
        await asking.ask()
        asking.peer.failure = ZeroDivisionError()
        await asyncio.sleep(FIRST_REST_SECONDS)
        with structlog.testing.capture_logs() as logs:
            await asking.ask()
            await asyncio.sleep(0.01)
        assert [each["event"] for each in logs] == ["a peer could not be probed"]
        asking.peer.failure = None
        await asking.ask()
        await asyncio.sleep(0.01)
        assert asking.guard.state is State.CLOSED

    run_in_virtual_time(main())
