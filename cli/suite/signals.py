"""Signals as something to wait for: what was received, and a pause that a signal ends."""

import select
import signal
import socket
from contextlib import ExitStack
from types import FrameType
from typing import Self

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """While this is open SIGINT, SIGTERM and SIGHUP are counted; they end `pause`, as the end of a child does.

    With `interrupting`, the first one also raises KeyboardInterrupt wherever the program is.
    """

    def __init__(self, *, interrupting: bool = False) -> None:
        self.count = 0
        self._interrupting = interrupting
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
            self._ending.callback(end.close)
        self._ending.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(self._wake.fileno()))
        for number in _STOPPING:
            self._ending.callback(signal.signal, number, signal.signal(number, self._on_stop))
        self._ending.callback(signal.signal, signal.SIGCHLD, signal.signal(signal.SIGCHLD, lambda *_: None))
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ending.close()

    def pause(self, seconds: float) -> None:
        if select.select([self._woken], [], [], seconds)[0]:
            self._woken.recv(4096)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._interrupting and self.count == 1:
            raise KeyboardInterrupt
