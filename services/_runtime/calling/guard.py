"""Asks a peer while it answers, and refuses at once while it does not: a peer that hangs costs no more than one that is dead."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from services._runtime.calling.breaker import Breaker, State
from services._runtime.calling.timeouts import LearnedTimeout
from services._runtime.errors import Code, GatewayError, PeerUnavailableError

T = TypeVar("T")
# A call that ended by its own time-out took this share of it at least, whatever the clocks' grain.
_WHOLE = 0.95


class Guard:
    """One peer's breaker, shared by everything that asks it.

    While it is open, callers are refused at once, also the one whose question is the probe: nobody waits for a probe, and what
    the peer then does for it is what it does for any question whose answer was lost. `clock` gives seconds that never run
    backwards.
    """

    def __init__(self, peer: str, clock: Callable[[], float], log: Any) -> None:
        self._peer = peer
        self._clock = clock
        self._log = log
        self._breaker = Breaker()
        self._probes: set[asyncio.Task[Any]] = set()

    @property
    def state(self) -> State:
        return self._breaker.state

    def check(self) -> None:
        """For calls that may be slow for their own sake, and so say nothing of the peer.

        :raises PeerUnavailableError: nothing is asked now.
        """
        if not self._breaker.is_closed:
            raise self._lost()

    async def ask(
        self,
        call: Callable[[float], Awaitable[T]],
        usual: LearnedTimeout,
        is_lost: Callable[[T], bool] = lambda _answer: False,
    ) -> T:
        """What `call`, given how many seconds it may take, returns; they follow what is `usual`.

        `is_lost` finds the answers that say nothing.

        :raises GatewayError: as `call`.
        :raises PeerUnavailableError: nothing is asked now.
        """
        if self._breaker.is_closed:
            return await self._asked(call, usual, is_lost, is_probe=False)
        if self._breaker.begin_probe(self._clock()):
            probe = asyncio.ensure_future(self._asked(call, usual, is_lost, is_probe=True))
            self._probes.add(probe)
            probe.add_done_callback(self._probed)
        raise self._lost()

    async def _asked(
        self,
        call: Callable[[float], Awaitable[T]],
        usual: LearnedTimeout,
        is_lost: Callable[[T], bool],
        *,
        is_probe: bool,
    ) -> T:
        began, given = self._clock(), usual.seconds
        try:
            answer = await call(given)
        except GatewayError as error:
            self._judge_error(error, self._clock() - began, given, usual, is_probe=is_probe)
            raise
        taken = self._clock() - began
        usual.learn(taken)
        if is_lost(answer):
            self._fail(taken, "its store does not answer", is_probe=is_probe)
        else:
            self._succeed()
        return answer

    def _judge_error(
        self, error: GatewayError, taken: float, given: float, usual: LearnedTimeout, *, is_probe: bool
    ) -> None:
        if error.code is Code.UNAVAILABLE:
            self._fail(taken, error.message, is_probe=is_probe)
        elif error.code is not Code.DEADLINE_EXCEEDED:
            usual.learn(taken)
            self._succeed()
        elif taken >= _WHOLE * given:
            usual.learn(taken)
            self._fail(taken, error.message, is_probe=is_probe)
        elif is_probe:
            # The asker's own deadline, which says nothing of the peer: no caller can have it taken for lost.
            self._breaker.abandoned(self._clock())

    def _probed(self, probe: "asyncio.Task[Any]") -> None:
        self._probes.discard(probe)
        problem = asyncio.CancelledError() if probe.cancelled() else probe.exception()
        if isinstance(problem, GatewayError | None):
            return  # judged already, and nobody waits for it
        self._breaker.abandoned(self._clock())
        if not probe.cancelled():
            self._log.error("a peer could not be probed", peer=self._peer, exc_info=problem)

    def _lost(self) -> PeerUnavailableError:
        return PeerUnavailableError(f"{self._peer} does not answer", retry_after_seconds=1.0)

    def _succeed(self) -> None:
        if self._breaker.answered():
            self._log.info("a peer answers again", peer=self._peer)

    def _fail(self, taken: float, problem: str, *, is_probe: bool) -> None:
        if self._breaker.failed(self._clock(), is_probe=is_probe):
            self._log.warning(
                "a peer does not answer; its calls are done without until it does",
                peer=self._peer,
                after_seconds=round(taken, 3),
                problem=problem,
            )
