"""Billing's stores with an explicit clock and a small price list, and short ways to say what a test books."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from services.billing.books import Authorize, UnpricedPolicy
from services.billing.catalog import Catalog
from services.billing.prices import PriceBook
from services.billing.pricing import Price, Source, Tier, TokenCounts
from services.billing.stores.sql.accounts import SqlAccounts
from services.billing.stores.sql.budgets import SqlBudgets
from services.billing.stores.sql.database import Database
from services.billing.stores.sql.definitions import Definitions
from services.billing.stores.sql.ledger import SqlLedger
from services.billing.stores.sql.posting import Posted
from services.billing.stores.sql.prices import SqlPrices
from services.billing.stores.sql.schema import migrate
from services.billing.usage import Caller, UsageRecord

NOON = 1_795_435_200 * 10**9  # 2026-11-23 12:00 UTC
HOUR = 3600 * 10**9
DAY = 24 * HOUR
ALICE = Caller("acme", "alice", "key-a")
BOB = Caller("acme", "bob", "key-b")

# One nano-USD per input token, two per output token.
UNIT_PRICE = Price(
    "test:unit", "house", "unit", (Tier(0, 1_000_000, 2_000_000),), effective_ns=None, source=Source.FILE
)


@dataclass
class Clock:
    now_ns: int = NOON

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Stores:
    """One process's view of a database."""

    database: Database
    ledger: SqlLedger
    budgets: SqlBudgets
    prices: SqlPrices
    accounts: SqlAccounts
    clock: Clock
    definitions: Definitions
    commits: list[int] = field(default_factory=list)


def compose(database: Database, clock: Clock, policy: UnpricedPolicy = "book_zero") -> Stores:
    definitions = Definitions(PriceBook(Catalog([]), [UNIT_PRICE]))
    commits: list[int] = []

    def observe(operations: int, posted: Posted) -> None:
        commits.append(operations)

    return Stores(
        database,
        SqlLedger(database, definitions, policy, clock, observe),
        SqlBudgets(database, definitions, clock),
        SqlPrices(database, definitions),
        SqlAccounts(database),
        clock,
        definitions,
        commits,
    )


OpenDatabase = Callable[[], Database]


@asynccontextmanager
async def opened(
    open_database: OpenDatabase, policy: UnpricedPolicy = "book_zero", clock: Clock | None = None
) -> AsyncIterator[Stores]:
    """A process with the schema in place, until it stops in good order."""
    database = open_database()
    try:
        await migrate(database)
        stores = compose(database, clock or Clock(), policy)
        yield stores
        await stores.ledger.close()
    finally:
        await database.close()


def hold(hold_id: str, output_tokens: int, caller: Caller = ALICE, ttl_ns: int = HOUR) -> Authorize:
    """A hold of two nano-USD per token."""
    return Authorize(hold_id, caller, (("house", "unit"),), 0, output_tokens, ttl_ns)


def used(attempt_id: str, output_tokens: int, **changes: Any) -> UsageRecord:
    """An attempt that cost two nano-USD per token."""
    fields: dict[str, Any] = {
        "attempt_id": attempt_id,
        "completion_id": f"completion-of-{attempt_id}",
        "caller": ALICE,
        "provider": "house",
        "model": "unit",
        "tokens": TokenCounts(output=output_tokens),
        "start_ns": NOON - 10**9,
        "end_ns": NOON,
        "outcome": 1,
    }
    return UsageRecord(**{**fields, **changes})
