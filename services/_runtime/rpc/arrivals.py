"""Requests whose caller is known and whose bytes are still on their way: none may be for ever."""

import asyncio
from typing import Any

RECEIVE_SECONDS = 30.0
"""What a request may take from its metadata to its last byte."""
_SWEEP_SECONDS = 1.0


class Arrivals:
    """Ends the calls whose requests do not arrive in time, and with them the memory of what has arrived."""

    def __init__(self) -> None:
        self._since: dict[asyncio.Task[Any], float] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The request of the call that the current task serves is awaited."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - gRPC serves each call in one
        self._since[task] = loop.time()
        if self._sweeping is None:
            self._sweeping = loop.call_later(min(_SWEEP_SECONDS, RECEIVE_SECONDS), self._sweep, loop)

    def end(self) -> None:
        """It is here."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - as above
        self._since.pop(task, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = None
        late = loop.time() - RECEIVE_SECONDS
        for task, since in list(self._since.items()):
            if task.done() or since <= late:
                del self._since[task]
                # gRPC resets the stream of a call that ends without a status.
                task.cancel()
        if self._since:
            self._sweeping = loop.call_later(min(_SWEEP_SECONDS, RECEIVE_SECONDS), self._sweep, loop)
