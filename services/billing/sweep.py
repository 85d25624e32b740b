"""What becomes of holds that nobody resolved: orphaned when they expire, and released some time later."""

import asyncio
from collections.abc import Callable
from typing import Any

from services.billing.books import HoldState, Void
from services.billing.errors import StoreUnavailableError
from services.billing.metrics import BillingMetrics
from services.billing.store import LedgerStore

_PAGE = 1000


async def sweep_for_ever(
    ledger: LedgerStore,
    metrics: BillingMetrics,
    now_ns: Callable[[], int],
    log: Any,
    *,
    every_seconds: float,
    grace_seconds: float,
) -> None:
    while True:
        try:
            await sweep(ledger, metrics, now_ns(), round(grace_seconds * 1e9), log)
        except StoreUnavailableError as error:
            log.warning("holds were not swept", problem=error.message)
        await asyncio.sleep(every_seconds)


async def sweep(ledger: LedgerStore, metrics: BillingMetrics, now_ns: int, grace_ns: int, log: Any) -> None:
    orphaned = await ledger.orphan_expired(now_ns)
    if orphaned:
        log.warning(
            "holds expired without being captured or voided; `headgate holds` lists them", count=orphaned
        )
    if released := await release(ledger, now_ns - grace_ns):
        log.warning(
            "holds were released, as nobody settled them; usage that comes later is booked", count=released
        )
    metrics.held(await ledger.hold_tallies())


async def release(ledger: LedgerStore, expired_by_ns: int) -> int:
    """How many orphans were voided, as if their callers had: each once, over any number of replicas."""
    released = 0
    while page := await ledger.unresolved_holds("", HoldState.ORPHANED, (-1, ""), _PAGE):
        due = [Void(hold.hold_id) for hold in page if hold.expire_ns <= expired_by_ns]
        if due:
            await ledger.post(due)
        released += len(due)
        if len(due) < _PAGE:
            break
    return released
