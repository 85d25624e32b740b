"""The ports to the database: the ledger, budgets, prices, and accounts.

Every method raises StoreUnavailableError when the database does not answer; a write may then have happened or not, and
can be repeated. What a method returned is durable: it survives the death of the process and of the machine. Only a hold
that was taken a moment before may die with the machine, as the request that it was for may; its usage is booked all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services._runtime.errors import GatewayError
from services.billing.accounts import Account, Key, StoredKey
from services.billing.books import Hold, HoldState, Operation, Result
from services.billing.budgets import Budget, BudgetStatus
from services.billing.pricing import Price
from services.billing.usage import Caller, Entry, EntryPosition, UsageFilter, UsageQuery, UsageSum


@dataclass(frozen=True, slots=True)
class HoldTally:
    count: int
    amount_nanos: int


class LedgerStore(Protocol):
    """Holds and booked usage. Entries never change and are never removed."""

    async def post(self, operations: Sequence[Operation]) -> Sequence[Result | GatewayError]:
        """Decide the operations in order and commit them together, each with its own result or refusal.

        Operations of concurrent calls share a commit. Concurrent calls, also of other processes, are decided as if one
        came after the other. A cancelled call may still be committed.
        """
        ...

    async def orphan_expired(self, now_ns: int) -> int:
        """Mark the open holds that expired by `now_ns` as orphaned: they stay held until resolved. How many."""
        ...

    async def unresolved_holds(
        self, organization_id: str, state: HoldState | None, after: tuple[int, str], limit: int
    ) -> Sequence[Hold]:
        """Those that are open or orphaned (None: both), of one organisation or (empty) of all, above `after` by expiry and id."""
        ...

    async def hold_tallies(self) -> dict[HoldState, HoldTally]:
        """The holds that are open and orphaned."""
        ...

    async def sums(self, query: UsageQuery, offset: int, limit: int) -> Sequence[UsageSum]:
        """Newest day first, then by cost, then by the group's values."""
        ...

    async def entries(self, where: UsageFilter, after: EntryPosition | None, limit: int) -> Sequence[Entry]:
        """Newest end first, then by attempt id; `after` is the last entry of the page before."""
        ...


class BudgetStore(Protocol):
    """Budgets with what is spent and held, which counts from the ledger and the holds, however late a budget is made."""

    async def put_budget(self, budget: Budget) -> BudgetStatus:
        """Create or replace; `budget.etag`, when not empty, must be the current one.

        :raises EtagMismatchError: it is not.
        :raises ReadOnlyResourceError: the file declares a budget of that id.
        """
        ...

    async def declare_budgets(self, budgets: Sequence[Budget]) -> None:
        """Make the file's budgets exactly these."""
        ...

    async def delete_budget(self, budget_id: str, etag: str) -> None:
        """:raises UnknownResourceError: there is none. Also those of `put_budget`."""
        ...

    async def budget(self, budget_id: str) -> BudgetStatus:
        """:raises UnknownResourceError: there is none."""
        ...

    async def budgets(
        self, organization_id: str, after: str, limit: int, payer: Caller | None = None
    ) -> Sequence[BudgetStatus]:
        """By id, of one organisation or (empty) of all, those whose id is above `after`; with a payer, those that bind it."""
        ...


class PriceStore(Protocol):
    """The prices in force, and the versions that the API adds."""

    async def add_price(self, price: Price) -> None:
        """From the next commit on it is applied to what ended in its time."""
        ...

    async def prices(self) -> Sequence[Price]:
        """Every version: added, declared and shipped, ordered by provider, model, time and id."""
        ...


class AccountStore(Protocol):
    async def put_account(self, account: Account) -> Account:
        """The account that exists now: an equal one is kept as it was.

        :raises ResourceExistsError: it exists with other content.
        :raises UnknownResourceError: the user's organisation does not exist.
        """
        ...

    async def account(self, organization_id: str, user_id: str) -> Account:
        """:raises UnknownResourceError: there is none."""
        ...

    async def accounts(self, organization_id: str, after: tuple[str, str], limit: int) -> Sequence[Account]:
        """By organisation and user, of one organisation or (empty) of all, those above `after`."""
        ...

    async def add_key(self, key: Key, secret_hash: bytes) -> None:
        """:raises UnknownResourceError: its account does not exist."""
        ...

    async def stored_key(self, key_id: str) -> StoredKey | None: ...

    async def keys(
        self, organization_id: str, user_id: str, after: tuple[int, str], limit: int
    ) -> Sequence[Key]:
        """By time of creation and id, of those whose fields are not empty, those above `after`."""
        ...

    async def rename_key(self, key_id: str, display_name: str) -> Key:
        """:raises UnknownResourceError: there is none."""
        ...

    async def revoke_key(self, key_id: str, now_ns: int) -> Key:
        """The key, revoked at the earliest time that this was asked for.

        :raises UnknownResourceError: there is none.
        """
        ...
