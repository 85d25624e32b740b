"""Runs a plan over services that run already, and reads its books until they are true or patience is over."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2, usage_pb2
from headgate.common.v1 import caller_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from simulator.exchange import Simulator
from simulator.faults import Fault
from tests.promise.books import Asked, Books, Disturbance, Peeked
from tests.promise.calling import ask
from tests.promise.judging import broken
from tests.promise.plans import PricePlan, RunPlan, TargetPlan, key_name
from tests.promise.provider import PROVIDERS

_POLL_SECONDS = 0.02
_NANOS = 10**9
Metadata = tuple[tuple[str, str], ...]


class Services(Protocol):
    """Where runs take place: stubs of real services, over a simulator that is within reach."""

    router: Any
    billing: Any
    ratelimit: Any
    simulator: Simulator

    async def new_key(
        self, organization_id: str, user_id: str = ""
    ) -> tuple[Metadata, caller_pb2.Caller]: ...

    async def entries(self, organization_id: str) -> list[usage_pb2.LedgerEntry]: ...


def router_section(plans: Iterable[RunPlan], base_url: str, **times: float) -> dict[str, Any]:
    """Of the configuration, with the targets and models of all plans."""
    targets = {target_id: target for plan in plans for target_id, target in plan.targets.items()}
    return {
        "providers": {
            name: {"base_url": base_url, **times, **declared} for name, declared in PROVIDERS.items()
        },
        "targets": {target_id: _declared(target) for target_id, target in targets.items()},
        "models": {name: {"targets": list(ids)} for plan in plans for name, ids in plan.models.items()},
    }


def prices(plans: Iterable[RunPlan]) -> list[dict[str, Any]]:
    priced = [target for plan in plans for target in plan.targets.values() if target.price is not None]
    return [
        {"provider": target.provider, "model": target.model, **_price(target.price)}
        for target in priced
        if target.price is not None
    ]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan whose keys, limits and budgets are there; `since`: the simulator's records before it."""

    plan: RunPlan
    keys: Sequence[tuple[Metadata, caller_pb2.Caller]]
    since: int

    @property
    def callers(self) -> list[caller_pb2.Caller]:
        return [caller for _, caller in self.keys]


async def run(services: Services, plan: RunPlan, patience_seconds: float) -> tuple[Books, list[str]]:
    """The books, and what is wrong with them in the end."""
    prepared = await prepare(services, plan)
    asked = await ask_all(services, prepared)
    return await settle(services, prepared, asked, Disturbance(), patience_seconds)


async def prepare(services: Services, plan: RunPlan) -> Prepared:
    keys = [await services.new_key(plan.organization_id, user) for user in plan.users]
    await _set_up(services, plan, [caller for _, caller in keys])
    for request in plan.requests:
        for knobs in request.behaviours:
            services.simulator.faults.add(Fault(knobs, None, 1, request.name))
    return Prepared(plan, keys, services.simulator.ledger.last_seq)


async def ask_all(services: Services, prepared: Prepared) -> list[Asked]:
    """Returns once every caller has its answer, was refused, or has left."""
    asking = (ask(services.router, each, prepared.keys[each.caller][0]) for each in prepared.plan.requests)
    return await asyncio.gather(*asking)


async def settle(
    services: Services,
    prepared: Prepared,
    asked: Sequence[Asked],
    disturbance: Disturbance,
    patience_seconds: float,
) -> tuple[Books, list[str]]:
    """What the caller hears is not yet all: usage may still be on its way to the ledger."""
    until = time.monotonic() + patience_seconds
    while True:
        books = await _read(services, prepared, asked, disturbance)
        wrong = broken(books)
        if not wrong or time.monotonic() > until:
            break
        await asyncio.sleep(_POLL_SECONDS)
    await _tear_down(services, prepared.plan, are_kept=not disturbance.forgot_limits)
    return books, wrong


async def _set_up(services: Services, plan: RunPlan, callers: Sequence[caller_pb2.Caller]) -> None:
    key_ids = {key_name(index): caller.key_id for index, caller in enumerate(callers)} | {"": ""}
    for planned in plan.limits:
        limit = limit_pb2.Limit()
        limit.CopyFrom(planned)
        limit.selector.key_id = key_ids[planned.selector.key_id]
        await services.ratelimit.SetLimit(ratelimit.SetLimitRequest(limit=limit))
    for planned_budget in plan.budgets:
        budget = budget_pb2.Budget()
        budget.CopyFrom(planned_budget)
        budget.key_id = key_ids[planned_budget.key_id]
        await services.billing.SetBudget(billing.SetBudgetRequest(budget=budget))


async def _tear_down(services: Services, plan: RunPlan, *, are_kept: bool) -> None:
    for request in plan.requests:
        services.simulator.faults.clear(request.name)
    for limit in plan.limits if are_kept else ():
        await services.ratelimit.DeleteLimit(ratelimit.DeleteLimitRequest(limit_id=limit.limit_id))


async def _read(
    services: Services, prepared: Prepared, asked: Sequence[Asked], disturbance: Disturbance
) -> Books:
    plan, organization_id = prepared.plan, prepared.plan.organization_id
    models = {target.model for target in plan.targets.values()}
    entries = await services.entries(organization_id)
    held = await services.billing.ListHolds(billing.ListHoldsRequest(organization_id=organization_id))
    kept = await services.billing.ListBudgets(billing.ListBudgetsRequest(organization_id=organization_id))
    return Books(
        plan=plan,
        callers=prepared.callers,
        asked=asked,
        served=[
            each
            for each in services.simulator.ledger.since(prepared.since)
            # Who only counts a prompt serves nothing.
            if each.model in models and not each.api.endswith("count_tokens")
        ],
        entries=entries,
        budgets=kept.budgets,
        peeked=await _peek(services, plan, prepared.callers) if plan.limits else [],
        holds=len(held.holds),
        disturbance=disturbance,
    )


async def _peek(services: Services, plan: RunPlan, callers: Sequence[caller_pb2.Caller]) -> list[Peeked]:
    peeked = []
    for index, caller in enumerate(callers):
        for team in ("red", "blue"):
            for model in plan.models:
                labels = {"run": plan.organization_id, "team": team}
                question = ratelimit.PeekRequest(caller=caller, model=model, labels=labels)
                answer = await services.ratelimit.Peek(question)
                peeked += [Peeked(index, model, team, status) for status in answer.statuses]
    return peeked


def _declared(target: TargetPlan) -> dict[str, Any]:
    stated: Mapping[str, Any] = {
        "provider": target.provider,
        "model": target.model,
        "context_window": target.context_window,
        "max_output_tokens": target.max_output_tokens,
        "most_tokens_per_image": target.most_tokens_per_image,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _price(price: PricePlan) -> dict[str, Any]:
    tiers = [
        {
            "min_input_tokens": tier.min_input_tokens,
            "input": _usd(tier.input),
            "output": _usd(tier.output),
            **({} if tier.cache_read is None else {"cache_read": _usd(tier.cache_read)}),
            **({} if tier.cache_write is None else {"cache_write": _usd(tier.cache_write)}),
        }
        for tier in price.tiers
    ]
    return {"tiers": tiers, "per_request": _usd(price.request_nanos)}


def _usd(nanos: int) -> str:
    return str(Decimal(nanos) / _NANOS)
