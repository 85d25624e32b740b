"""Billing's process: `python -m services.billing`; `python -m services.billing migrate` only brings the schema up."""

import asyncio
import os
import secrets
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from headgate.billing.v1.account_service_pb2_grpc import add_AccountServiceServicer_to_server
from headgate.billing.v1.billing_service_pb2_grpc import add_BillingServiceServicer_to_server
from services._runtime.configuration.sections import has_section
from services._runtime.configuration.settings import SettingsError, SharedSettings, read_settings, read_shared
from services._runtime.private import keep_to_owner
from services._runtime.process.apart import apart
from services._runtime.process.run import Application, run
from services._runtime.process.serving import EXIT_MISCONFIGURED, tell_misconfigured
from services._runtime.rpc.authentication import require_internal_token
from services._runtime.rpc.server import Service
from services._runtime.telemetry.telemetry import Telemetry
from services.billing import account_servicer, servicer
from services.billing.budgets import Budget
from services.billing.catalog import load_catalog
from services.billing.database import bring_up, ready_database
from services.billing.keys import new_token
from services.billing.metrics import BillingMetrics
from services.billing.pepper import keep_pepper
from services.billing.prices import PriceBook
from services.billing.pricing import Price
from services.billing.settings import PEPPER_VARIABLE, PREFIX, BillingSettings, single_process
from services.billing.stores.sql.accounts import SqlAccounts
from services.billing.stores.sql.budgets import SqlBudgets
from services.billing.stores.sql.definitions import Definitions
from services.billing.stores.sql.ledger import SqlLedger
from services.billing.stores.sql.prices import SqlPrices
from services.billing.sweep import sweep_for_ever


async def compose(settings: BillingSettings, shared: SharedSettings, telemetry: Telemetry) -> Application:
    declared_prices, declared_budgets = _declared(shared.config)
    pepper = _pepper(settings, shared)
    database, catalog = await asyncio.gather(
        ready_database(settings, shared), asyncio.to_thread(load_catalog)
    )
    definitions = Definitions(PriceBook(catalog, declared_prices))
    metrics = BillingMetrics(telemetry.registry)
    ledger = SqlLedger(database, definitions, settings.unpriced_models, time.time_ns, metrics.committed)
    budgets = SqlBudgets(database, definitions, time.time_ns)
    await budgets.declare_budgets(declared_budgets)
    billing = servicer.BillingServicer(ledger, budgets, SqlPrices(database, definitions), time.time_ns)
    make_token = partial(new_token, secrets.choice)
    accounts = account_servicer.AccountServicer(SqlAccounts(database), pepper, make_token, time.time_ns)
    sweeping = asyncio.create_task(
        sweep_for_ever(
            ledger,
            metrics,
            time.time_ns,
            telemetry.log,
            every_seconds=settings.sweep_seconds,
            grace_seconds=settings.orphan_grace_seconds,
        )
    )

    async def stop() -> None:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        await ledger.close()
        await database.close()

    return Application(
        [
            Service(servicer.SERVICE, partial(add_BillingServiceServicer_to_server, billing)),
            Service(account_servicer.SERVICE, partial(add_AccountServiceServicer_to_server, accounts)),
        ],
        authenticate=require_internal_token(shared.internal_token),
        trusted_methods=servicer.TRUSTED_METHODS,
        on_stop=[stop],
    )


def _declared(config: Path | None) -> tuple[list[Price], list[Budget]]:
    if not has_section(config, "billing"):
        return [], []
    prices, budgets = apart("services.billing.config:declared", config, saves="pydantic")
    return prices, budgets


def _pepper(settings: BillingSettings, shared: SharedSettings) -> bytes:
    if settings.key_pepper is not None:
        return settings.key_pepper.reveal().encode()
    if settings.postgresql is not None:
        raise SettingsError(
            [f"{PEPPER_VARIABLE} is not set: replicas on one PostgreSQL need the same pepper"]
        )
    return keep_pepper(shared.data_dir / "billing.pepper")


def _migrate_only() -> int:
    keep_to_owner()
    try:
        bring_up(read_settings(BillingSettings, PREFIX, os.environ), read_shared(os.environ))
    except SettingsError as error:
        tell_misconfigured(error)
        return EXIT_MISCONFIGURED
    return 0


def main(arguments: list[str]) -> int:
    if arguments == ["migrate"]:
        return _migrate_only()
    return run("billing", BillingSettings, compose, single_process=single_process, internal=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
