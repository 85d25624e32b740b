"""The decisions of one commit: holds taken, usage booked and holds ended, over the rows that a batch touches.

Decide, then write: a batch's rows are read into `Books`, each operation is decided in order against what the ones
before it left, and `changes` is what the store then writes in the same transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import Literal

import msgspec

from services._runtime.errors import FieldViolation, GatewayError, InvalidFieldError, QuotaViolation
from services.billing.budgets import Budget, BudgetIndex, Period, period_starts
from services.billing.errors import (
    AlreadyResolvedError,
    BudgetExceededError,
    HoldMismatchError,
    UnpricedModelError,
    UsageConflictError,
)
from services.billing.prices import PriceBook
from services.billing.pricing import MAX_ATTEMPT_NANOS, Price, cost_nanos, most_nanos
from services.billing.usage import NS_PER_DAY, Caller, Cost, Entry, UsageRecord

_encode = msgspec.msgpack.Encoder().encode

UnpricedPolicy = Literal["book_zero", "refuse"]


class HoldState(IntEnum):
    """OPEN and ORPHANED (expired, and waiting for its usage) count as held. BARRED: resolved before it was asked for."""

    OPEN = 1
    ORPHANED = 2
    CAPTURED = 3
    VOIDED = 4
    BARRED = 5

    @property
    def is_held(self) -> bool:
        return self <= HoldState.ORPHANED


class Hold(msgspec.Struct, frozen=True, gc=False):
    hold_id: str
    caller: Caller
    amount_nanos: int
    state: HoldState
    create_ns: int
    expire_ns: int
    digest: bytes


class Authorize(msgspec.Struct, frozen=True, gc=False):
    """Hold what the dearest of `candidates` (provider, model) can cost."""

    hold_id: str
    caller: Caller
    candidates: tuple[tuple[str, str], ...]
    input_tokens: int
    max_output_tokens: int
    ttl_ns: int

    def digest(self) -> bytes:
        caller = (self.caller.organization_id, self.caller.user_id, self.caller.key_id)
        content = (caller, self.candidates, self.input_tokens, self.max_output_tokens)
        return blake2b(_encode(content), digest_size=16).digest()


class Capture(msgspec.Struct, frozen=True, gc=False):
    """Book `records`, all or none, and end the hold, if there is one. Empty `hold_id`: there is none.

    From a checkpoint: of an attempt that is booked, the entry is true and the record is not.
    """

    hold_id: str
    records: tuple[UsageRecord, ...]
    from_checkpoint: bool = False


class Void(msgspec.Struct, frozen=True, gc=False):
    hold_id: str


Operation = Authorize | Capture | Void


class Authorized(msgspec.Struct, frozen=True, gc=False):
    amount_nanos: int
    expire_ns: int


class Captured(msgspec.Struct, frozen=True, gc=False):
    """`costs` in the order of the records; `hold_captured`: by this operation, or by an earlier one."""

    costs: tuple[Cost, ...]
    hold_captured: bool


class Voided(msgspec.Struct, frozen=True, gc=False):
    """`voided`: by this operation, or by an earlier one."""

    voided: bool


Result = Authorized | Captured | Voided


class Booked(msgspec.Struct, frozen=True, gc=False):
    """What is read of a ledger row that exists already."""

    digest: bytes
    cost: Cost


@dataclass(slots=True)
class Changes:
    """What the decisions amount to. Spending is by budget and first day of the period."""

    holds: dict[str, Hold] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    held_nanos: dict[str, int] = field(default_factory=dict)
    spent_nanos: dict[tuple[str, int], int] = field(default_factory=dict)
    prices: dict[str, Price] = field(default_factory=dict)
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """What a batch touches, as the transaction found it.

    `held_nanos` has every budget that binds a caller of the batch, `spent_nanos` their current periods.
    """

    holds: Mapping[str, Hold]
    booked: Mapping[str, Booked]
    held_nanos: Mapping[str, int]
    spent_nanos: Mapping[tuple[str, int], int]


class Books:
    def __init__(
        self, rows: Rows, budgets: BudgetIndex, prices: PriceBook, policy: UnpricedPolicy, now_ns: int
    ) -> None:
        self._rows = rows
        self._budgets = budgets
        self._prices = prices
        self._policy = policy
        self._now_ns = now_ns
        self._period_starts = period_starts(now_ns // NS_PER_DAY)
        self._booked = dict(rows.booked)
        self.changes = Changes()

    def decide(self, operations: Iterable[Operation]) -> list[Result | GatewayError]:
        """Each operation's result or refusal, in order; a refusal changes nothing."""
        return [self._decided(operation) for operation in operations]

    def _decided(self, operation: Operation) -> Result | GatewayError:
        try:
            if isinstance(operation, Capture):
                return self._capture(operation)
            return self._authorize(operation) if isinstance(operation, Authorize) else self._void(operation)
        except GatewayError as refusal:
            return refusal

    def _authorize(self, wanted: Authorize) -> Authorized:
        known = self._hold(wanted.hold_id)
        if known is not None:
            return _replayed(known, wanted)
        amount = self._worst_cost(wanted)
        binding = self._budgets.binding(wanted.caller)
        self._require_room(binding, amount)
        self._hold_back(binding, amount)
        expire_ns = self._now_ns + wanted.ttl_ns
        self.changes.holds[wanted.hold_id] = Hold(
            wanted.hold_id, wanted.caller, amount, HoldState.OPEN, self._now_ns, expire_ns, wanted.digest()
        )
        return Authorized(amount, expire_ns)

    def _hold_back(self, binding: Iterable[Budget], nanos: int) -> None:
        held = self.changes.held_nanos
        for budget in binding:
            held[budget.budget_id] = held.get(budget.budget_id, 0) + nanos

    def _worst_cost(self, wanted: Authorize) -> int:
        worst = 0
        for provider, model in wanted.candidates:
            price = self._prices.price(wanted.caller.organization_id, provider, model, self._now_ns)
            if price is not None:
                worst = max(worst, most_nanos(price, wanted.input_tokens, wanted.max_output_tokens))
                if worst > MAX_ATTEMPT_NANOS:
                    raise _insane(worst, "max_output_tokens")
            elif self._policy == "refuse":
                raise UnpricedModelError(
                    f"no price is known for {provider}/{model}; add one under billing.prices or by SetPrice"
                )
        return worst

    def _require_room(self, binding: Sequence[Budget], amount: int) -> None:
        full = [budget for budget in binding if not budget.soft and self._left(budget) < amount]
        if full:
            raise _exceeded(
                full, {budget.budget_id: self._left(budget) for budget in full}, amount, self._now_ns
            )

    def _left(self, budget: Budget) -> int:
        name, period = budget.budget_id, (budget.budget_id, self._period_starts[budget.period])
        held = self._rows.held_nanos[name] + self.changes.held_nanos.get(name, 0)
        spent = self._rows.spent_nanos.get(period, 0) + self.changes.spent_nanos.get(period, 0)
        return budget.limit_nanos - held - spent

    def _capture(self, capture: Capture) -> Captured:
        digests = [record.digest() for record in capture.records]
        if not capture.from_checkpoint:
            self._require_no_conflict(capture.records, digests)
        priced = [self._cost(record, index) for index, record in enumerate(capture.records)]
        costs = tuple(
            self._book(record, digest, cost, capture.hold_id)
            for record, digest, cost in zip(capture.records, digests, priced, strict=True)
        )
        state = self._end(capture.hold_id, HoldState.CAPTURED) if capture.hold_id else None
        return Captured(costs, state is HoldState.CAPTURED)

    def _require_no_conflict(self, records: Sequence[UsageRecord], digests: Sequence[bytes]) -> None:
        seen: dict[str, bytes] = {}
        for record, digest in zip(records, digests, strict=True):
            known = self._booked.get(record.attempt_id)
            first = seen.setdefault(record.attempt_id, digest if known is None else known.digest)
            if first != digest:
                self.changes.conflicts += 1
                raise UsageConflictError(
                    f"attempt {record.attempt_id} was booked before with other content",
                    metadata={"attempt_id": record.attempt_id},
                )

    def _book(self, record: UsageRecord, digest: bytes, cost: Cost, hold_id: str) -> Cost:
        known = self._booked.get(record.attempt_id)
        if known is not None:
            return known.cost
        self._booked[record.attempt_id] = Booked(digest, cost)
        self.changes.entries.append(Entry(record, cost, self._now_ns, hold_id, digest))
        spent, starts = self.changes.spent_nanos, period_starts(record.day)
        for budget in self._budgets.binding(record.caller):
            period = (budget.budget_id, starts[budget.period])
            spent[period] = spent.get(period, 0) + cost.nanos
        return cost

    def _cost(self, record: UsageRecord, index: int) -> Cost:
        if record.is_cache_hit:
            return Cost(0)
        price = self._prices.price(
            record.caller.organization_id, record.provider, record.model, record.end_ns
        )
        if price is None:
            return Cost(0, unpriced=True)
        self.changes.prices[price.price_id] = price
        nanos = cost_nanos(price, record.tokens)
        if nanos > MAX_ATTEMPT_NANOS:
            raise _insane(nanos, f"records[{index}].usage")
        return Cost(nanos, price.price_id)

    def _void(self, void: Void) -> Voided:
        return Voided(self._end(void.hold_id, HoldState.VOIDED) is HoldState.VOIDED)

    def _end(self, hold_id: str, state: HoldState) -> HoldState:
        """The state that the hold is in afterwards: it is ended once, and what it held is given back once."""
        hold = self._hold(hold_id)
        if hold is None:
            # An Authorize of this id that arrives late must not hold money that nobody would ever give back.
            barred = Hold(hold_id, Caller(""), 0, HoldState.BARRED, self._now_ns, self._now_ns, b"")
            self.changes.holds[hold_id] = barred
            return HoldState.BARRED
        if not hold.state.is_held:
            return hold.state
        self._hold_back(self._budgets.binding(hold.caller), -hold.amount_nanos)
        self.changes.holds[hold_id] = Hold(
            hold_id, hold.caller, hold.amount_nanos, state, hold.create_ns, hold.expire_ns, hold.digest
        )
        return state

    def _hold(self, hold_id: str) -> Hold | None:
        return self.changes.holds.get(hold_id) or self._rows.holds.get(hold_id)


def _insane(nanos: int, field: str) -> InvalidFieldError:
    problem = f"the tokens cost {nanos} nano-USD, and no attempt costs more than {MAX_ATTEMPT_NANOS}"
    return InvalidFieldError(f"{field}: {problem}", field_violations=[FieldViolation(field, problem)])


def _replayed(known: Hold, wanted: Authorize) -> Authorized:
    if not known.state.is_held:
        raise AlreadyResolvedError(f"hold {wanted.hold_id} was resolved before ({known.state.name.lower()})")
    if known.digest != wanted.digest():
        raise HoldMismatchError(f"hold {wanted.hold_id} was asked for before with other content")
    return Authorized(known.amount_nanos, known.expire_ns)


def _exceeded(
    full: Sequence[Budget], left: Mapping[str, int], amount: int, now_ns: int
) -> BudgetExceededError:
    ends = [budget.period.end_ns(now_ns // NS_PER_DAY) for budget in full]
    known = [end for end in ends if end is not None]
    retry = (max(known) - now_ns) / 1e9 if len(known) == len(full) else None
    violations = [
        QuotaViolation(
            f"budget:{budget.budget_id}",
            f"{amount} nano-USD are asked for, {max(0, left[budget.budget_id])} of {budget.limit_nanos} are left"
            f" {_SPANS[budget.period]}",
        )
        for budget in full
    ]
    names = ", ".join(budget.budget_id for budget in full)
    return BudgetExceededError(
        f"budget {names}: {violations[0].description}", retry_after_seconds=retry, quota_violations=violations
    )


_SPANS = {Period.TOTAL: "in all", Period.DAY: "today (UTC)", Period.MONTH: "this month (UTC)"}
