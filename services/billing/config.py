"""The file's `billing:` section: prices that override the shipped ones, and budgets."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from services._runtime.configuration.config import Section, read_section
from services.billing.budgets import Budget, Period
from services.billing.catalog import content_hash
from services.billing.money import usd_to_nanos
from services.billing.pricing import Price, Source, Tier

_Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_PERIODS = {"total": Period.TOTAL, "day": Period.DAY, "month": Period.MONTH}


class TierSection(Section):
    """Rates in USD per million tokens, for requests of at least so many input tokens."""

    min_input_tokens: int = Field(0, ge=0, le=10**12)
    input: _Usd
    output: _Usd
    cache_read: _Usd | None = None
    cache_write: _Usd | None = None

    def tier(self) -> Tier:
        return Tier(
            self.min_input_tokens,
            usd_to_nanos(self.input),
            usd_to_nanos(self.output),
            None if self.cache_read is None else usd_to_nanos(self.cache_read),
            None if self.cache_write is None else usd_to_nanos(self.cache_write),
        )


class PriceSection(Section):
    provider: str = Field(min_length=1, max_length=128)
    model: str = Field(min_length=1, max_length=256)
    organization: str = Field("", max_length=128)
    effective: datetime | None = None
    tiers: tuple[TierSection, ...] = Field(min_length=1, max_length=16)
    per_request: _Usd = Decimal(0)

    @field_validator("tiers")
    @classmethod
    def _ascend(cls, tiers: tuple[TierSection, ...]) -> tuple[TierSection, ...]:
        bounds = [tier.min_input_tokens for tier in tiers]
        if bounds[0] != 0 or bounds != sorted(set(bounds)):
            raise ValueError("tiers ascend by min_input_tokens, and the first one begins at 0")
        return tiers

    def price(self) -> Price:
        price = Price(
            price_id="",
            provider=self.provider,
            model=self.model,
            tiers=tuple(tier.tier() for tier in self.tiers),
            request_nanos=usd_to_nanos(self.per_request),
            effective_ns=None if self.effective is None else _ns(self.effective),
            organization_id=self.organization,
            source=Source.FILE,
        )
        return replace(price, price_id=f"file:{self.provider}/{self.model}:{content_hash(price)}")


class BudgetSection(Section):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._/-]{0,127}$")
    organization: str = Field(min_length=1, max_length=128)
    user: str = Field("", max_length=128)
    key: str = Field("", max_length=128)
    limit_usd: Annotated[Decimal, Field(ge=0, le=10**9, allow_inf_nan=False)]
    period: Literal["total", "day", "month"]
    soft: bool = False
    alert_percents: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field((), max_length=16)

    def budget(self) -> Budget:
        return Budget(
            budget_id=self.id,
            organization_id=self.organization,
            limit_nanos=usd_to_nanos(self.limit_usd),
            period=_PERIODS[self.period],
            user_id=self.user,
            key_id=self.key,
            soft=self.soft,
            alert_percents=self.alert_percents,
            source=Source.FILE,
        )


class BillingSection(Section):
    prices: tuple[PriceSection, ...] = ()
    budgets: tuple[BudgetSection, ...] = ()

    @model_validator(mode="after")
    def _has_distinct_budgets(self) -> "BillingSection":
        seen = [budget.id for budget in self.budgets]
        if twice := sorted({each for each in seen if seen.count(each) > 1}):
            raise ValueError(f"budgets of the same id: {', '.join(twice)}")
        return self


def declared(path: Path) -> tuple[list[Price], list[Budget]]:
    """Of the file's section.

    :raises ConfigError: the file can't be read, or its section breaks a rule.
    """
    section = read_section(path, "billing", BillingSection)
    return [price.price() for price in section.prices], [budget.budget() for budget in section.budgets]


def _ns(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 10**9
