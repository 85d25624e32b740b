"""One transaction of the ledger: read what a batch touches, decide, write what was decided."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services._runtime.errors import GatewayError
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
from services.billing.budgets import Budget, Period
from services.billing.stores.sql import rows
from services.billing.stores.sql.definitions import Definitions
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
    definitions.refresh(transaction)
    found = _read(transaction, definitions, operations, now_ns)
    books = Books(found, definitions.budgets, definitions.price_book, policy, now_ns)
    results = books.decide(operations)
    _write(transaction, definitions, found, books.changes)
    return Posted(results, books.changes)


def _read(
    transaction: Transaction, definitions: Definitions, operations: Sequence[Operation], now_ns: int
) -> Rows:
    # Locks are taken in one order everywhere (holds by id, then budgets by id), so that none waits in a circle.
    known_holds = _read_holds(transaction, {each.hold_id for each in operations if each.hold_id})
    captures = [each for each in operations if isinstance(each, Capture)]
    booked = _read_booked(transaction, {record.attempt_id for each in captures for record in each.records})
    bound = definitions.budgets.bound(_callers(operations, known_holds.values()))
    held, spent = _read_balances(transaction, bound, now_ns // NS_PER_DAY) if bound else ({}, {})
    return Rows(known_holds, booked, held, spent)


def _callers(operations: Iterable[Operation], known: Iterable[Hold]) -> Iterator[Caller]:
    yield from (hold.caller for hold in known)
    for operation in operations:
        if isinstance(operation, Authorize):
            yield operation.caller
        elif isinstance(operation, Capture):
            yield from (record.caller for record in operation.records)


def _read_holds(transaction: Transaction, hold_ids: set[str]) -> dict[str, Hold]:
    if not hold_ids:
        return {}
    statements = transaction.statements
    found = statements.read_holds.query(transaction, {"wanted": statements.wanted(hold_ids)})
    return {row.hold_id: rows.hold_of(row) for row in found}


def _read_booked(transaction: Transaction, attempt_ids: set[str]) -> dict[str, Booked]:
    if not attempt_ids:
        return {}
    statements = transaction.statements
    found = statements.read_booked.query(transaction, {"wanted": statements.wanted(attempt_ids)})
    return {
        row.attempt_id: Booked(row.digest, Cost(row.cost_nanos, row.price_id, bool(row.unpriced)))
        for row in found
    }


def _read_balances(
    transaction: Transaction, bound: dict[str, Budget], day: int
) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    """What the budgets hold, and what their current periods have spent. Their rows stay locked until the commit."""
    statements = transaction.statements
    wanted = {"wanted": statements.wanted(bound)}
    held = {row.budget_id: row.held_nanos for row in statements.read_held.query(transaction, wanted)}
    starts = {period.name: period.start_day(day) for period in Period}
    found = statements.read_spent.query(transaction, {**wanted, **starts})
    return held, {(row.budget_id, row.period_day): row.spent_nanos for row in found}


def _write(transaction: Transaction, definitions: Definitions, found: Rows, changes: Changes) -> None:
    statements = transaction.statements
    new_prices = sorted(changes.prices.keys() - definitions.kept_prices)
    statements.keep_prices.run(transaction, [rows.price_row(changes.prices[name], 0) for name in new_prices])
    # Ids ascend, so that two processes that insert the same ones do not wait for each other in a circle.
    holds = sorted(changes.holds.values(), key=lambda hold: hold.hold_id)
    new = [rows.hold_row(hold) for hold in holds if hold.hold_id not in found.holds]
    ended = [
        {"which": hold.hold_id, "new_state": int(hold.state)} for hold in holds if hold.hold_id in found.holds
    ]
    statements.insert_holds.run(transaction, new)
    statements.end_hold.run(transaction, ended)
    entries = sorted(changes.entries, key=lambda entry: entry.record.attempt_id)
    statements.insert_entries.run(transaction, [rows.entry_row(entry) for entry in entries])
    _write_balances(transaction, changes)


def _write_balances(transaction: Transaction, changes: Changes) -> None:
    statements = transaction.statements
    held = [{"which": name, "change": nanos} for name, nanos in sorted(changes.held_nanos.items()) if nanos]
    statements.change_held.run(transaction, held)
    spent = [
        {"budget_id": name, "period_day": day, "spent_nanos": nanos}
        for (name, day), nanos in sorted(changes.spent_nanos.items())
        if nanos
    ]
    statements.add_spent.run(transaction, spent)


def note_kept(definitions: Definitions, posted: Posted) -> None:
    """Once committed: these prices need not be written again."""
    definitions.kept_prices |= posted.changes.prices.keys()
