"""A transaction of the ledger on a driver's own connection, and who makes them."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from services.billing.stores.sql.statement import Driver
from services.billing.stores.sql.statements import PostingStatements

_T = TypeVar("_T")

Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function that blocks on its database without blocking the loop."""


class Transaction(Driver, Protocol):
    """What runs here is committed whole by its owner, or not at all. Drivers' errors are the owner's to translate."""

    @property
    def statements(self) -> PostingStatements:
        """In this driver's SQL."""
        ...


class Ledger(Protocol):
    """The connection, or connections, that the ledger's transactions are made on."""

    def transact(self, body: Callable[[Transaction], _T], *, lasting: bool) -> _T:
        """What `body` returns once it is committed. It blocks, as a `Run` has it.

        Without `lasting` a commit outlives the process, but maybe not the machine. One with `lasting` makes those before it
        last too.

        :raises sqlalchemy.exc.DBAPIError: the driver's error.
        """
        ...

    def run(self, *, lasting: bool) -> Run:
        """How to call `transact`."""
        ...

    def close(self) -> None:
        """As `transact`, where a `Run` has it."""
        ...
