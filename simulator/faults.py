"""Faults waiting for the next requests, set through the control endpoint."""

from dataclasses import dataclass

Pairs = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Fault:
    pairs: Pairs
    model: str | None
    """Only for requests that name this model (without its knobs); None: for any."""
    remaining: int | None
    """For how many requests more; None: until cleared."""
    user: str | None = None
    """Only for requests of this end user, as the API's own field names it; None: for any."""


class FaultQueue:
    """The first fault that matches a request is spent on it, in the order in which faults were set."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self, user: str | None = None) -> None:
        """All, or those that are for one end user."""
        self._faults = [fault for fault in self._faults if user not in (None, fault.user)]

    def pending(self) -> list[Fault]:
        return list(self._faults)

    def take(self, model: str, user: str | None = None) -> Pairs:
        for fault in self._faults:
            if fault.model in (None, model) and fault.user in (None, user):
                self._spend(fault)
                return fault.pairs
        return ()

    def _spend(self, fault: Fault) -> None:
        if fault.remaining is None:
            return
        fault.remaining -= 1
        if fault.remaining <= 0:
            self._faults.remove(fault)
