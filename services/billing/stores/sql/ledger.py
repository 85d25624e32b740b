"""The ledger in SQL: holds and usage through group commit, and the questions about them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, case, func, select, tuple_, update

from services._runtime.errors import GatewayError
from services.billing.books import Authorize, Hold, HoldState, Operation, Result, UnpricedPolicy
from services.billing.pricing import TokenCounts
from services.billing.store import HoldTally
from services.billing.stores.sql import rows
from services.billing.stores.sql.database import Database
from services.billing.stores.sql.definitions import Definitions
from services.billing.stores.sql.group_commit import GroupCommit
from services.billing.stores.sql.posting import Posted, post
from services.billing.stores.sql.tables import holds, ledger
from services.billing.stores.sql.transaction import Transaction
from services.billing.usage import (
    CACHE_HITS,
    Dimension,
    Entry,
    EntryPosition,
    UsageFilter,
    UsageQuery,
    UsageSum,
)

# USAGE_SOURCE_ESTIMATED of the contract.
_ESTIMATED = 2
_DIMENSIONS: dict[Dimension, ColumnElement[Any]] = {
    Dimension.ORGANIZATION: ledger.c.organization_id,
    Dimension.USER: ledger.c.user_id,
    Dimension.KEY: ledger.c.key_id,
    Dimension.MODEL: ledger.c.model,
    Dimension.PROVIDER: ledger.c.provider,
    Dimension.DAY: ledger.c.day,
}


class CommitObserver(Protocol):
    """Told of each commit: how many operations shared it, and what it changed."""

    def __call__(self, operations: int, posted: Posted) -> None: ...


class SqlLedger:
    def __init__(
        self,
        database: Database,
        definitions: Definitions,
        policy: UnpricedPolicy,
        now_ns: Callable[[], int],
        observe: CommitObserver,
    ) -> None:
        self._database = database
        self._definitions = definitions
        self._policy: UnpricedPolicy = policy
        self._now_ns = now_ns
        self._observe = observe
        self._commits: GroupCommit[Operation, Result | GatewayError] = GroupCommit(self._commit)

    async def post(self, operations: Sequence[Operation]) -> Sequence[Result | GatewayError]:
        return await self._commits.submit(operations)

    async def orphan_expired(self, now_ns: int) -> int:
        statement = (
            update(holds)
            .where(holds.c.state == int(HoldState.OPEN), holds.c.expire_ns <= now_ns)
            .values(state=int(HoldState.ORPHANED))
        )
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def unresolved_holds(
        self, organization_id: str, state: HoldState | None, after: tuple[int, str], limit: int
    ) -> Sequence[Hold]:
        unresolved = holds.c.state <= int(HoldState.ORPHANED)
        conditions = [unresolved, tuple_(holds.c.expire_ns, holds.c.hold_id) > tuple_(*after)]
        if state is not None:
            conditions.append(holds.c.state == int(state))
        if organization_id:
            conditions.append(holds.c.organization_id == organization_id)
        place = (holds.c.expire_ns, holds.c.hold_id)
        statement = select(holds).where(*conditions).order_by(*place).limit(limit)
        found = await self._database.read(lambda connection: connection.execute(statement).all())
        return [rows.hold_of(row) for row in found]

    async def hold_tallies(self) -> dict[HoldState, HoldTally]:
        statement = (
            select(holds.c.state, func.count(), func.coalesce(func.sum(holds.c.amount_nanos), 0))
            .where(holds.c.state <= int(HoldState.ORPHANED))
            .group_by(holds.c.state)
        )
        found = await self._database.read(lambda connection: connection.execute(statement).all())
        return {HoldState(state): HoldTally(count, int(amount)) for state, count, amount in found}

    async def sums(self, query: UsageQuery, offset: int, limit: int) -> Sequence[UsageSum]:
        columns = [_DIMENSIONS[dimension] for dimension in query.group_by]
        cost = func.sum(ledger.c.cost_nanos).label("cost_nanos")
        newest = [ledger.c.day.desc()] if Dimension.DAY in query.group_by else []
        statement = (
            select(*columns, *_totals(), cost)
            .where(*_conditions(query.filter), ledger.c.book_ns <= query.booked_until_ns)
            .group_by(*columns)
            .having(func.count() > 0)
            .order_by(*newest, cost.desc(), *columns)
            .offset(offset)
            .limit(limit)
        )
        found = await self._database.read(lambda connection: connection.execute(statement).all())
        return [_sum(row, len(columns)) for row in found]

    async def entries(self, where: UsageFilter, after: EntryPosition | None, limit: int) -> Sequence[Entry]:
        position = [] if after is None else [_is_after(after)]
        statement = (
            select(ledger)
            .where(*_conditions(where), *position)
            .order_by(ledger.c.end_ns.desc(), ledger.c.attempt_id.desc())
            .limit(limit)
        )
        found = await self._database.read(lambda connection: connection.execute(statement).all())
        return [rows.entry_of(row) for row in found]

    async def close(self) -> None:
        await self._commits.close()

    async def _commit(self, operations: Sequence[Operation]) -> Sequence[Result | GatewayError]:
        def body(transaction: Transaction) -> Posted:
            return post(transaction, self._definitions, operations, self._policy, self._now_ns())

        posted = await self._database.post(body, lasting=not all(map(_is_hold, operations)))
        self._definitions.committed(posted.changes)
        self._observe(len(operations), posted)
        return posted.results


def _is_hold(operation: Operation) -> bool:
    return isinstance(operation, Authorize)


def _conditions(where: UsageFilter) -> list[ColumnElement[bool]]:
    equal = (
        (ledger.c.organization_id, where.organization_id),
        (ledger.c.user_id, where.user_id),
        (ledger.c.key_id, where.key_id),
        (ledger.c.model, where.model),
        (ledger.c.provider, where.provider),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value]
    if where.start_ns is not None:
        conditions.append(ledger.c.end_ns >= where.start_ns)
    if where.end_ns is not None:
        conditions.append(ledger.c.end_ns < where.end_ns)
    return conditions


def _is_after(position: EntryPosition) -> ColumnElement[bool]:
    return tuple_(ledger.c.end_ns, ledger.c.attempt_id) < tuple_(position.end_ns, position.attempt_id)


def _totals() -> list[ColumnElement[Any]]:
    is_hit = ledger.c.cache_status.in_(sorted(CACHE_HITS))
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    return [
        func.count().label("attempts"),
        func.sum(case((is_hit, 1), else_=0)).label("cache_hits"),
        # A hit's tokens were served by the cache, and no provider counted them again.
        *(func.sum(case((is_hit, 0), else_=ledger.c[name])).label(name) for name in tokens),
        func.max(case((is_hit, 0), (ledger.c.usage_source == _ESTIMATED, 1), else_=0)).label("estimated"),
        func.sum(case((ledger.c.unpriced, 1), else_=0)).label("unpriced_attempts"),
    ]


def _sum(row: Any, width: int) -> UsageSum:
    # PostgreSQL sums bigints to numerics.
    return UsageSum(
        group=tuple(row)[:width],
        attempts=row.attempts,
        cache_hits=int(row.cache_hits),
        tokens=TokenCounts(
            int(row.input_tokens),
            int(row.output_tokens),
            int(row.cache_read_tokens),
            int(row.cache_write_tokens),
            int(row.reasoning_tokens),
        ),
        estimated=bool(row.estimated),
        cost_nanos=int(row.cost_nanos),
        unpriced_attempts=int(row.unpriced_attempts),
    )
