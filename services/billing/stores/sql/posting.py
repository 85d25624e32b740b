"""One transaction of the ledger: read what a batch touches, decide, write what was decided."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, bindparam, insert, or_, select, update

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
from services.billing.stores.sql.statements import any_of, insert_into
from services.billing.stores.sql.tables import budget_spending, budgets, holds, ledger, prices
from services.billing.usage import NS_PER_DAY, Caller, Cost

_insert_holds = insert(holds)
_insert_entries = insert(ledger)
_update_hold = update(holds).where(holds.c.hold_id == bindparam("which")).values(state=bindparam("new_state"))
_update_held = (
    update(budgets)
    .where(budgets.c.budget_id == bindparam("which"))
    .values(held_nanos=budgets.c.held_nanos + bindparam("change"))
)


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
    condition, wanted = any_of(connection, holds.c.hold_id, hold_ids)
    statement = select(holds).where(condition)
    if connection.dialect.name == "postgresql":
        statement = statement.order_by(holds.c.hold_id).with_for_update()
    found = connection.execute(statement, {"wanted": wanted})
    return {row.hold_id: rows.hold_of(row) for row in found}


def _read_booked(connection: Connection, attempt_ids: set[str]) -> dict[str, Booked]:
    if not attempt_ids:
        return {}
    condition, wanted = any_of(connection, ledger.c.attempt_id, attempt_ids)
    columns = (
        ledger.c.attempt_id,
        ledger.c.digest,
        ledger.c.cost_nanos,
        ledger.c.price_id,
        ledger.c.unpriced,
    )
    found = connection.execute(select(*columns).where(condition), {"wanted": wanted})
    return {
        row.attempt_id: Booked(row.digest, Cost(row.cost_nanos, row.price_id, row.unpriced)) for row in found
    }


def _read_balances(
    connection: Connection, bound: dict[str, Budget], day: int
) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    """What the budgets hold, and what their current periods have spent. Their rows stay locked until the commit."""
    condition, wanted = any_of(connection, budgets.c.budget_id, sorted(bound))
    statement = select(budgets.c.budget_id, budgets.c.held_nanos).where(condition)
    if connection.dialect.name == "postgresql":
        statement = statement.order_by(budgets.c.budget_id).with_for_update()
    held = {row.budget_id: row.held_nanos for row in connection.execute(statement, {"wanted": wanted})}
    condition, wanted = any_of(connection, budget_spending.c.budget_id, sorted(bound))
    starts: list[BindParameter[int]] = [bindparam(period.name) for period in Period]
    found = connection.execute(
        select(budget_spending).where(
            condition, or_(*(budget_spending.c.period_day == start for start in starts))
        ),
        {"wanted": wanted, **{period.name: period.start_day(day) for period in Period}},
    )
    return held, {(row.budget_id, row.period_day): row.spent_nanos for row in found}


def _write(connection: Connection, definitions: Definitions, found: Rows, changes: Changes) -> None:
    _keep_prices(connection, definitions, changes)
    new = [hold for hold in changes.holds.values() if hold.hold_id not in found.holds]
    ended = [hold for hold in changes.holds.values() if hold.hold_id in found.holds]
    if new:
        connection.execute(
            _insert_holds, [rows.hold_row(hold) for hold in sorted(new, key=lambda h: h.hold_id)]
        )
    if ended:
        connection.execute(
            _update_hold, [{"which": hold.hold_id, "new_state": int(hold.state)} for hold in ended]
        )
    if changes.entries:
        entries = sorted(changes.entries, key=lambda entry: entry.record.attempt_id)
        connection.execute(_insert_entries, [rows.entry_row(entry) for entry in entries])
    _write_balances(connection, changes)


def _write_balances(connection: Connection, changes: Changes) -> None:
    held = [{"which": name, "change": nanos} for name, nanos in sorted(changes.held_nanos.items()) if nanos]
    if held:
        connection.execute(_update_held, held)
    spent = [
        {"budget_id": name, "period_day": day, "spent_nanos": nanos}
        for (name, day), nanos in sorted(changes.spent_nanos.items())
        if nanos
    ]
    if spent:
        statement = insert_into(connection, budget_spending)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[budget_spending.c.budget_id, budget_spending.c.period_day],
                set_={"spent_nanos": budget_spending.c.spent_nanos + statement.excluded.spent_nanos},
            ),
            spent,
        )


def _keep_prices(connection: Connection, definitions: Definitions, changes: Changes) -> None:
    unknown = sorted(changes.prices.keys() - definitions.kept_prices)
    if unknown:
        statement = insert_into(connection, prices).on_conflict_do_nothing()
        connection.execute(statement, [rows.price_row(changes.prices[price_id], 0) for price_id in unknown])


def note_kept(definitions: Definitions, posted: Posted) -> None:
    """Once committed: these prices need not be written again."""
    definitions.kept_prices |= posted.changes.prices.keys()
