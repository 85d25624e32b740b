"""Budgets in SQL. One that is made or changed counts anew from the ledger and the holds, alone with the database."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select

from services.billing.books import HoldState
from services.billing.budgets import Budget, BudgetStatus, Period
from services.billing.errors import EtagMismatchError, ReadOnlyResourceError, UnknownResourceError
from services.billing.pricing import Source
from services.billing.stores.sql import rows
from services.billing.stores.sql.database import Database
from services.billing.stores.sql.definitions import Definitions
from services.billing.stores.sql.tables import budget_spending, budgets, holds, ledger
from services.billing.usage import NS_PER_DAY, Caller


class SqlBudgets:
    def __init__(self, database: Database, definitions: Definitions, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._definitions = definitions
        self._now_ns = now_ns

    async def put_budget(self, budget: Budget) -> BudgetStatus:
        def body(connection: Connection) -> BudgetStatus:
            _require_changeable(connection, budget.budget_id, budget.etag)
            _put(connection, self._definitions, budget)
            return _one(connection, budget.budget_id, self._day())

        return await self._database.write(body, defines=True)

    async def declare_budgets(self, declared: Sequence[Budget]) -> None:
        def body(connection: Connection) -> None:
            by_id = {budget.budget_id: replace(budget, source=Source.FILE) for budget in declared}
            for budget in _read(connection, budgets.c.source == int(Source.FILE)):
                if budget.budget_id not in by_id:
                    _remove(connection, budget.budget_id)
                    self._definitions.change(connection)
            for budget in by_id.values():
                _put(connection, self._definitions, budget)

        await self._database.write(body, defines=True)

    async def delete_budget(self, budget_id: str, etag: str) -> None:
        def body(connection: Connection) -> None:
            if _require_changeable(connection, budget_id, etag) is None:
                raise _unknown(budget_id)
            _remove(connection, budget_id)
            self._definitions.change(connection)

        await self._database.write(body, defines=True)

    async def budget(self, budget_id: str) -> BudgetStatus:
        return await self._database.read(lambda connection: _one(connection, budget_id, self._day()))

    async def budgets(
        self, organization_id: str, after: str, limit: int, payer: Caller | None = None
    ) -> Sequence[BudgetStatus]:
        conditions = [budgets.c.budget_id > after]
        if organization_id:
            conditions.append(budgets.c.organization_id == organization_id)
        if payer is not None:
            conditions += _binding(payer)
        return await self._database.read(
            lambda connection: _statuses(connection, self._day(), conditions, limit)
        )

    def _day(self) -> int:
        return self._now_ns() // NS_PER_DAY


def _require_changeable(connection: Connection, budget_id: str, etag: str) -> Budget | None:
    current = next(iter(_read(connection, budgets.c.budget_id == budget_id)), None)
    if current is not None and current.source is Source.FILE:
        raise ReadOnlyResourceError(f"the configuration file declares budget {budget_id}; change it there")
    if etag and (current is None or current.etag != etag):
        raise EtagMismatchError(f"budget {budget_id} has changed; read it again")
    return current


def _put(connection: Connection, definitions: Definitions, budget: Budget) -> None:
    current = next(iter(_read(connection, budgets.c.budget_id == budget.budget_id)), None)
    if current is not None and replace(budget, etag=current.etag) == current:
        return
    _remove(connection, budget.budget_id)
    changed = replace(budget, etag=f"{definitions.change(connection):x}")
    held = connection.execute(_held(changed)).scalar_one()
    connection.execute(insert(budgets), {**rows.budget_row(changed), "held_nanos": int(held)})
    spent = _spent_by_period(changed, connection.execute(_spent_by_day(changed)).all())
    if spent:
        connection.execute(insert(budget_spending), spent)


def _remove(connection: Connection, budget_id: str) -> None:
    connection.execute(delete(budgets).where(budgets.c.budget_id == budget_id))
    connection.execute(delete(budget_spending).where(budget_spending.c.budget_id == budget_id))


def _binds(budget: Budget, table: Table) -> list[ColumnElement[bool]]:
    conditions = [table.c.organization_id == budget.organization_id]
    if budget.user_id:
        conditions.append(table.c.user_id == budget.user_id)
    if budget.key_id:
        conditions.append(table.c.key_id == budget.key_id)
    return conditions


def _binding(payer: Caller) -> list[ColumnElement[bool]]:
    return [
        budgets.c.organization_id == payer.organization_id,
        budgets.c.user_id.in_({"", payer.user_id}),
        budgets.c.key_id.in_({"", payer.key_id}),
    ]


def _held(budget: Budget) -> Any:
    return select(func.coalesce(func.sum(holds.c.amount_nanos), 0)).where(
        *_binds(budget, holds), holds.c.state <= int(HoldState.ORPHANED)
    )


def _spent_by_day(budget: Budget) -> Any:
    return (
        select(ledger.c.day, func.sum(ledger.c.cost_nanos))
        .where(*_binds(budget, ledger))
        .group_by(ledger.c.day)
    )


def _spent_by_period(budget: Budget, days: Iterable[Any]) -> list[dict[str, Any]]:
    spent: dict[int, int] = {}
    for day, nanos in days:
        start = budget.period.start_day(day)
        spent[start] = spent.get(start, 0) + int(nanos)
    return [
        {"budget_id": budget.budget_id, "period_day": start, "spent_nanos": nanos}
        for start, nanos in spent.items()
        if nanos
    ]


def _read(connection: Connection, condition: ColumnElement[bool]) -> list[Budget]:
    return [rows.budget_of(row) for row in connection.execute(select(budgets).where(condition))]


def _one(connection: Connection, budget_id: str, day: int) -> BudgetStatus:
    found = _statuses(connection, day, [budgets.c.budget_id == budget_id], 1)
    if not found:
        raise _unknown(budget_id)
    return found[0]


def _statuses(
    connection: Connection, day: int, conditions: Sequence[ColumnElement[bool]], limit: int
) -> list[BudgetStatus]:
    starts = [
        (budgets.c.period == int(period)) & (budget_spending.c.period_day == period.start_day(day))
        for period in Period
    ]
    joined = budgets.outerjoin(
        budget_spending,
        (budgets.c.budget_id == budget_spending.c.budget_id) & (starts[0] | starts[1] | starts[2]),
    )
    spent = func.coalesce(budget_spending.c.spent_nanos, 0).label("spent")
    statement = (
        select(budgets, spent)
        .select_from(joined)
        .where(*conditions)
        .order_by(budgets.c.budget_id)
        .limit(limit)
    )
    return [_status(row, day) for row in connection.execute(statement)]


def _status(row: Any, day: int) -> BudgetStatus:
    budget = rows.budget_of(row)
    return BudgetStatus(budget, row.spent, row.held_nanos, budget.period.end_ns(day))


def _unknown(budget_id: str) -> UnknownResourceError:
    return UnknownResourceError(f"no budget {budget_id}")
