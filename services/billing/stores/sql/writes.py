"""What a commit writes, in whatever statements suit its database."""

from collections.abc import Sequence
from typing import Any, Protocol

from services.billing.stores.sql.statement import Driver

Rows = Sequence[Sequence[Any]]


class Writes(Protocol):
    def run(self, driver: Driver, *kinds: Rows) -> None:
        """Prices to keep, new holds, (new state, id) of holds that end, entries, (change of what is held, id) of budgets,
        and what is to be added to the spending of budgets. Rows have all columns of their table, unless said otherwise.
        """
        ...
