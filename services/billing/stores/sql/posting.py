"""One transaction of the ledger: read what a batch touches, decide, write what was decided."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

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
from services.billing.stores.sql.statements import posting_statements
from services.billing.usage import NS_PER_DAY, Caller, Cost


@dataclass(frozen=True, slots=True)
class Posted:
    """What a transaction decided, and what it changed."""

    results: Sequence[Result | GatewayError]
    changes: Changes


def post(
    connection: Connection,
    definitions: Definitions,
    operations: Sequence[Operation],
    policy: UnpricedPolicy,
    now_ns: int,
) -> Posted:
    definitions.refresh(connection)
    found = _read(connection, definitions, operations, now_ns)
    books = Books(found, definitions.budgets, definitions.price_book, policy, now_ns)
    results = books.decide(operations)
    _write(connection, definitions, found, books.changes)
    return Posted(results, books.changes)


def _read(
    connection: Connection, definitions: Definitions, operations: Sequence[Operation], now_ns: int
) -> Rows:
    # Locks are taken in one order everywhere (holds by id, then budgets by id), so that none waits in a circle.
    known_holds = _read_holds(connection, {each.hold_id for each in operations if each.hold_id})
    captures = [each for each in operations if isinstance(each, Capture)]
    booked = _read_booked(connection, {record.attempt_id for each in captures for record in each.records})
    bound = definitions.budgets.bound(_callers(operations, known_holds.values()))
    held, spent = _read_balances(connection, bound, now_ns // NS_PER_DAY) if bound else ({}, {})
    return Rows(known_holds, booked, held, spent)


def _callers(operations: Iterable[Operation], known: Iterable[Hold]) -> Iterator[Caller]:
    yield from (hold.caller for hold in known)
    for operation in operations:
        if isinstance(operation, Authorize):
            yield operation.caller
        elif isinstance(operation, Capture):
            yield from (record.caller for record in operation.records)


def _read_holds(connection: Connection, hold_ids: set[str]) -> dict[str, Hold]:
    if not hold_ids:
        return {}
    statements = posting_statements(connection)
    found = statements.read_holds.query(connection, {"wanted": statements.wanted(hold_ids)})
    return {row.hold_id: rows.hold_of(row) for row in found}


def _read_booked(connection: Connection, attempt_ids: set[str]) -> dict[str, Booked]:
    if not attempt_ids:
        return {}
    statements = posting_statements(connection)
    found = statements.read_booked.query(connection, {"wanted": statements.wanted(attempt_ids)})
    return {
        row.attempt_id: Booked(row.digest, Cost(row.cost_nanos, row.price_id, bool(row.unpriced)))
        for row in found
    }


def _read_balances(
    connection: Connection, bound: dict[str, Budget], day: int
) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    """What the budgets hold, and what their current periods have spent. Their rows stay locked until the commit."""
    statements = posting_statements(connection)
    wanted = {"wanted": statements.wanted(bound)}
    held = {row.budget_id: row.held_nanos for row in statements.read_held.query(connection, wanted)}
    starts = {period.name: period.start_day(day) for period in Period}
    found = statements.read_spent.query(connection, {**wanted, **starts})
    return held, {(row.budget_id, row.period_day): row.spent_nanos for row in found}


def _write(connection: Connection, definitions: Definitions, found: Rows, changes: Changes) -> None:
    statements = posting_statements(connection)
    new_prices = sorted(changes.prices.keys() - definitions.kept_prices)
    statements.keep_prices.run(connection, [rows.price_row(changes.prices[name], 0) for name in new_prices])
    # Ids ascend, so that two processes that insert the same ones do not wait for each other in a circle.
    holds = sorted(changes.holds.values(), key=lambda hold: hold.hold_id)
    new = [rows.hold_row(hold) for hold in holds if hold.hold_id not in found.holds]
    ended = [
        {"which": hold.hold_id, "new_state": int(hold.state)} for hold in holds if hold.hold_id in found.holds
    ]
    statements.insert_holds.run(connection, new)
    statements.end_hold.run(connection, ended)
    entries = sorted(changes.entries, key=lambda entry: entry.record.attempt_id)
    statements.insert_entries.run(connection, [rows.entry_row(entry) for entry in entries])
    _write_balances(connection, changes)


def _write_balances(connection: Connection, changes: Changes) -> None:
    statements = posting_statements(connection)
    held = [{"which": name, "change": nanos} for name, nanos in sorted(changes.held_nanos.items()) if nanos]
    statements.change_held.run(connection, held)
    spent = [
        {"budget_id": name, "period_day": day, "spent_nanos": nanos}
        for (name, day), nanos in sorted(changes.spent_nanos.items())
        if nanos
    ]
    statements.add_spent.run(connection, spent)


def note_kept(definitions: Definitions, posted: Posted) -> None:
    """Once committed: these prices need not be written again."""
    definitions.kept_prices |= posted.changes.prices.keys()
