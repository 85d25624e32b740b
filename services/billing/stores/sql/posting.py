"""One transaction of the ledger: read what a batch touches, decide, write what was decided."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from services._runtime.errors import GatewayError
from services.billing.balances import Balances
from services.billing.books import (
    Authorize,
    Booked,
    Books,
    Capture,
    Changes,
    Hold,
    Operation,
    Result,
    Rows,
    UnpricedPolicy,
)
from services.billing.budgets import Budget, period_starts
from services.billing.pricing import Price
from services.billing.stores.sql import rows
from services.billing.stores.sql.definitions import Definitions
from services.billing.stores.sql.tables import prices
from services.billing.stores.sql.transaction import Transaction
from services.billing.usage import NS_PER_DAY, Caller, Cost


@dataclass(frozen=True, slots=True)
class Posted:
    """What a transaction decided, and what it changed."""

    results: Sequence[Result | GatewayError]
    changes: Changes


def post(
    transaction: Transaction,
    definitions: Definitions,
    operations: Sequence[Operation],
    policy: UnpricedPolicy,
    now_ns: int,
) -> Posted:
    found = _read(transaction, definitions, operations, now_ns)
    books = Books(found, definitions.budgets, definitions.price_book, policy, now_ns)
    results = books.decide(operations)
    _write(transaction, definitions, found, books.changes)
    return Posted(results, books.changes)


def _read(
    transaction: Transaction, definitions: Definitions, operations: Sequence[Operation], now_ns: int
) -> Rows:
    # Locks are taken in one order everywhere (holds by id, then budgets by id), so that none waits in a circle.
    known_holds = _read_holds(transaction, definitions, {each.hold_id for each in operations if each.hold_id})
    captures = [each for each in operations if isinstance(each, Capture)]
    booked = _read_booked(transaction, {record.attempt_id for each in captures for record in each.records})
    bound = definitions.budgets.bound(_callers(operations, known_holds.values()))
    # Where other processes write too, what is known of balances ends with the transaction.
    balances = Balances() if transaction.statements.is_postgresql else definitions.balances
    unknown = balances.unknown(bound.values(), now_ns // NS_PER_DAY)
    if unknown:
        balances.learn(unknown, *_read_balances(transaction, unknown, now_ns // NS_PER_DAY))
    return Rows(known_holds, booked, balances.held_nanos, balances.spent_nanos)


def _callers(operations: Iterable[Operation], known: Iterable[Hold]) -> Iterator[Caller]:
    yield from (hold.caller for hold in known)
    for operation in operations:
        if isinstance(operation, Authorize):
            yield operation.caller
        elif isinstance(operation, Capture):
            yield from (record.caller for record in operation.records)


def _read_holds(transaction: Transaction, definitions: Definitions, hold_ids: set[str]) -> dict[str, Hold]:
    """Also brings `definitions` up to date."""
    statements = transaction.statements
    found = list(statements.read_holds.query(transaction, statements.wanted(hold_ids)))
    definitions.bring_to(found[0][0], transaction)
    return {row[1]: rows.hold_of(row[1:]) for row in found if row[1] is not None}


def _read_booked(transaction: Transaction, attempt_ids: set[str]) -> dict[str, Booked]:
    if not attempt_ids:
        return {}
    statements = transaction.statements
    found = statements.read_booked.query(transaction, statements.wanted(attempt_ids))
    return {
        attempt_id: Booked(digest, Cost(nanos, price_id, bool(unpriced)))
        for attempt_id, digest, nanos, price_id, unpriced in found
    }


def _read_balances(
    transaction: Transaction, budgets: Iterable[Budget], day: int
) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    """What the budgets hold, and what their current periods have spent. Their rows stay locked until the commit."""
    statements = transaction.statements
    wanted = statements.wanted(budget.budget_id for budget in budgets)
    held = {row[0]: row[1] for row in statements.read_held.query(transaction, wanted)}
    found = statements.read_spent.query(transaction, wanted, *period_starts(day)[1:])
    return held, {(budget_id, start): nanos for budget_id, start, nanos in found}


def _write(transaction: Transaction, definitions: Definitions, found: Rows, changes: Changes) -> None:
    # Ids ascend, so that two processes that insert the same ones do not wait for each other in a circle.
    holds = sorted(changes.holds.items())
    entries = sorted(changes.entries, key=lambda entry: entry.record.attempt_id)
    transaction.statements.writes.run(
        transaction,
        [
            _price_row(changes.prices[name])
            for name in sorted(changes.prices.keys() - definitions.kept_prices)
        ],
        [rows.hold_row(hold) for name, hold in holds if name not in found.holds],
        [(int(hold.state), name) for name, hold in holds if name in found.holds],
        [rows.entry_row(entry) for entry in entries],
        [(nanos, name) for name, nanos in sorted(changes.held_nanos.items()) if nanos],
        [(name, day, nanos) for (name, day), nanos in sorted(changes.spent_nanos.items()) if nanos],
    )


def _price_row(price: Price) -> tuple[Any, ...]:
    row = rows.price_row(price, 0)
    return tuple(row[name] for name in prices.c.keys())  # noqa: SIM118 - columns, not their names, are iterated
