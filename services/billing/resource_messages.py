"""Accounts, keys, prices and budgets between the contract's messages and the domain's values."""

from dataclasses import replace

from headgate.billing.v1 import account_service_pb2 as accounts_pb
from headgate.billing.v1 import billing_service_pb2 as pb
from headgate.billing.v1 import budget_pb2, price_pb2
from headgate.common.v1 import caller_pb2
from services._runtime.errors import FieldViolation, InvalidFieldError
from services.billing.accounts import Account, Key, ResolvedKey
from services.billing.books import Hold
from services.billing.budgets import Budget, BudgetStatus, Period
from services.billing.catalog import content_hash
from services.billing.pricing import Price, Source, Tier
from services.billing.usage import Caller
from services.billing.usage_messages import invalid, text, time_ns, timestamp


def read_account(message: accounts_pb.Account, now_ns: int) -> Account:
    return Account(
        message.organization_id, message.user_id, text(message.display_name, "account.display_name"), now_ns
    )


def account_message(account: Account) -> accounts_pb.Account:
    return accounts_pb.Account(
        organization_id=account.organization_id,
        user_id=account.user_id,
        display_name=account.display_name,
        create_time=timestamp(account.create_ns),
    )


def read_key(message: accounts_pb.Key, key_id: str, now_ns: int) -> Key:
    """:raises InvalidFieldError: the key would have ended before it began."""
    expire_ns = time_ns(message.expire_time, "key.expire_time") if message.HasField("expire_time") else None
    if expire_ns is not None and expire_ns <= now_ns:
        raise invalid("key.expire_time", "must be in the future")
    return Key(
        key_id,
        text(message.organization_id, "key.organization_id"),
        text(message.user_id, "key.user_id"),
        text(message.display_name, "key.display_name"),
        now_ns,
        expire_ns,
    )


def key_message(key: Key) -> accounts_pb.Key:
    return accounts_pb.Key(
        key_id=key.key_id,
        organization_id=key.organization_id,
        user_id=key.user_id,
        display_name=key.display_name,
        expire_time=None if key.expire_ns is None else timestamp(key.expire_ns),
        create_time=timestamp(key.create_ns),
        revoke_time=None if key.revoke_ns is None else timestamp(key.revoke_ns),
    )


def resolved_message(resolved: ResolvedKey) -> accounts_pb.ResolveKeyResponse:
    key = resolved.key
    return accounts_pb.ResolveKeyResponse(
        caller=caller_pb2.Caller(organization_id=key.organization_id, user_id=key.user_id, key_id=key.key_id),
        expire_time=None if key.expire_ns is None else timestamp(key.expire_ns),
        has_hard_budget=resolved.has_hard_budget,
    )


def read_price(message: price_pb2.Price) -> Price:
    """:raises InvalidFieldError: tiers that do not ascend from 0."""
    price = Price(
        price_id="",
        provider=text(message.provider, "price.provider"),
        model=text(message.model, "price.model"),
        tiers=tuple(_tier(tier) for tier in message.tiers),
        request_nanos=message.request_nanos,
        effective_ns=time_ns(message.effective_time, "price.effective_time")
        if message.HasField("effective_time")
        else None,
        organization_id=text(message.organization_id, "price.organization_id"),
        source=Source.API,
    )
    _require_ascending(price)
    return replace(price, price_id=f"api:{price.provider}/{price.model}:{content_hash(price)}")


def _require_ascending(price: Price) -> None:
    bounds = [tier.min_input_tokens for tier in price.tiers]
    violations = [
        FieldViolation(
            f"price.tiers[{index}].min_input_tokens", "tiers ascend, and the first one begins at 0"
        )
        for index, bound in enumerate(bounds)
        if (bound != 0 if index == 0 else bound <= bounds[index - 1])
    ]
    if violations:
        raise InvalidFieldError(
            f"{violations[0].field}: {violations[0].description}", field_violations=violations
        )


def _tier(message: price_pb2.PriceTier) -> Tier:
    return Tier(
        message.min_input_tokens,
        message.input_nanos_per_million,
        message.output_nanos_per_million,
        message.cache_read_nanos_per_million if message.HasField("cache_read_nanos_per_million") else None,
        message.cache_write_nanos_per_million if message.HasField("cache_write_nanos_per_million") else None,
    )


def price_message(price: Price) -> price_pb2.Price:
    return price_pb2.Price(
        price_id=price.price_id,
        provider=price.provider,
        model=price.model,
        organization_id=price.organization_id,
        effective_time=None if price.effective_ns is None else timestamp(price.effective_ns),
        tiers=[
            price_pb2.PriceTier(
                min_input_tokens=tier.min_input_tokens,
                input_nanos_per_million=tier.input_rate,
                output_nanos_per_million=tier.output_rate,
                cache_read_nanos_per_million=tier.cache_read_rate,
                cache_write_nanos_per_million=tier.cache_write_rate,
            )
            for tier in price.tiers
        ],
        request_nanos=price.request_nanos,
        source=int(price.source),  # type: ignore[arg-type]
    )


def hold_message(hold: Hold) -> pb.Hold:
    caller = hold.caller
    return pb.Hold(
        hold_id=hold.hold_id,
        caller=caller_pb2.Caller(
            organization_id=caller.organization_id, user_id=caller.user_id, key_id=caller.key_id
        ),
        amount_nanos=hold.amount_nanos,
        state=int(hold.state),  # type: ignore[arg-type]
        create_time=timestamp(hold.create_ns),
        expire_time=timestamp(hold.expire_ns),
    )


def read_budget(message: budget_pb2.Budget) -> Budget:
    return Budget(
        budget_id=message.budget_id,
        organization_id=text(message.organization_id, "budget.organization_id"),
        limit_nanos=message.limit_nanos,
        period=Period(message.period),
        user_id=text(message.user_id, "budget.user_id"),
        key_id=text(message.key_id, "budget.key_id"),
        soft=message.soft,
        alert_percents=tuple(message.alert_percents),
        etag=text(message.etag, "budget.etag"),
    )


def read_payer(message: pb.ListBudgetsRequest) -> Caller | None:
    """Whom the budgets that are asked for must bind; None: anybody."""
    if not message.HasField("caller"):
        return None
    caller = message.caller
    return Caller(
        text(caller.organization_id, "caller.organization_id"),
        text(caller.user_id, "caller.user_id"),
        text(caller.key_id, "caller.key_id"),
    )


def budget_message(status: BudgetStatus) -> budget_pb2.Budget:
    budget = status.budget
    return budget_pb2.Budget(
        budget_id=budget.budget_id,
        organization_id=budget.organization_id,
        user_id=budget.user_id,
        key_id=budget.key_id,
        limit_nanos=budget.limit_nanos,
        period=int(budget.period),  # type: ignore[arg-type]
        soft=budget.soft,
        alert_percents=budget.alert_percents,
        source=int(budget.source),  # type: ignore[arg-type]
        etag=budget.etag,
        spent_nanos=status.spent_nanos,
        held_nanos=status.held_nanos,
        reset_time=None if status.reset_ns is None else timestamp(status.reset_ns),
    )
