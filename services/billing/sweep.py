"""Marks expired holds as orphaned, again and again: they stay held, and somebody must look at them."""

import asyncio
from collections.abc import Callable
from typing import Any

from services.billing.errors import StoreUnavailableError
from services.billing.metrics import BillingMetrics
from services.billing.store import LedgerStore


async def sweep_for_ever(
    ledger: LedgerStore, metrics: BillingMetrics, now_ns: Callable[[], int], every_seconds: float, log: Any
) -> None:
    while True:
        try:
            await sweep(ledger, metrics, now_ns(), log)
        except StoreUnavailableError as error:
            log.warning("holds were not swept", problem=error.message)
        await asyncio.sleep(every_seconds)


async def sweep(ledger: LedgerStore, metrics: BillingMetrics, now_ns: int, log: Any) -> None:
    orphaned = await ledger.orphan_expired(now_ns)
    if orphaned:
        log.warning("holds expired without being captured or voided; they stay held", count=orphaned)
    metrics.held(await ledger.hold_tallies())
