"""The file's `ratelimit:` section: limits as the contract has them, in its own field names."""

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from services._runtime.configuration.config import Section, read_section
from services.ratelimit.limit import (
    Algorithm,
    Dimension,
    Limit,
    Metric,
    Selector,
    SlidingWindow,
    Source,
    StoreLossPolicy,
    TokenBucket,
)

_UNITS_US = {"us": 1, "ms": 1_000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_DURATION = re.compile(r"(\d+(?:\.\d{1,6})?)(us|ms|s|m|h|d)")
_LONGEST_US = 366 * 86400 * 10**6


def _duration_us(value: Any) -> int:
    text = f"{value}s" if isinstance(value, int | float) else str(value)
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("write a duration such as 500ms, 60s, 5m, 1h or 30d")
    whole, _, fraction = found[1].partition(".")
    microseconds: int = int(whole + fraction) * _UNITS_US[found[2]] // 10 ** len(fraction)
    return microseconds


def _name(kind: str, later: str = "") -> BeforeValidator:
    """The contract's enum name, with or without its prefix, in any case."""

    def read(value: Any) -> Any:
        name = str(value).upper().removeprefix(kind)
        if later and name == later:
            raise ValueError(f"{kind}{later} is in the contract, not in this version (NOT_IMPLEMENTED)")
        return name

    return BeforeValidator(read)


_Amount = Annotated[int, Field(ge=1, le=10**15)]
_Id = Annotated[str, StringConstraints(max_length=128)]
_Duration = Annotated[int, BeforeValidator(_duration_us)]


def _member(enum: Any) -> Any:
    def find(value: str) -> Any:
        if value not in enum.__members__:
            names = ", ".join(name.lower() for name in enum.__members__)
            raise ValueError(f"one of {names}")
        return enum[value]

    return BeforeValidator(find)


class SelectorConfig(Section):
    organization_id: _Id = ""
    user_id: _Id = ""
    key_id: _Id = ""
    model: Annotated[str, StringConstraints(max_length=256)] = ""
    labels: dict[str, str] = Field(default_factory=dict, max_length=16)


class TokenBucketConfig(Section):
    refill_amount: _Amount
    refill_interval: Annotated[_Duration, Field(ge=1000, le=_LONGEST_US)]
    burst: _Amount | None = None

    def algorithm(self) -> Algorithm:
        return TokenBucket(self.refill_amount, self.refill_interval, self.burst or self.refill_amount)


class SlidingWindowConfig(Section):
    maximum: _Amount
    window: Annotated[_Duration, Field(ge=10**6, le=_LONGEST_US)]

    def algorithm(self) -> Algorithm:
        return SlidingWindow(self.maximum, self.window)


class LimitConfig(Section):
    limit_id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/-]{0,127}$")]
    selector: SelectorConfig = SelectorConfig()
    per: tuple[Annotated[Dimension, _member(Dimension), _name("DIMENSION_")], ...] = ()
    metric: Annotated[Metric, _member(Metric), _name("METRIC_", "CONCURRENT_REQUESTS")]
    token_bucket: TokenBucketConfig | None = None
    sliding_window: SlidingWindowConfig | None = None
    calendar_window: Any = None
    concurrency: Any = None
    shadow: bool = False
    store_loss_policy: Annotated[
        StoreLossPolicy, _member(StoreLossPolicy), _name("STORE_LOSS_POLICY_", "LOCAL_SHARE")
    ] = StoreLossPolicy.UNSPECIFIED

    @field_validator("calendar_window", "concurrency", mode="before")
    @classmethod
    def _is_for_later(cls, _value: Any) -> Any:
        raise ValueError("is in the contract, not in this version (NOT_IMPLEMENTED)")

    @field_validator("per")
    @classmethod
    def _is_unique(cls, per: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
        if len(set(per)) < len(per):
            raise ValueError("names a dimension twice")
        return per

    @model_validator(mode="after")
    def _has_one_algorithm(self) -> Self:
        if len(self._algorithms()) != 1:
            raise ValueError("set exactly one of token_bucket, sliding_window")
        return self

    def limit(self) -> Limit:
        return Limit(
            self.limit_id,
            self.metric,
            self._algorithms()[0],
            Selector(**self.selector.model_dump()),
            self.per,
            self.shadow,
            self.store_loss_policy,
            Source.FILE,
        )

    def _algorithms(self) -> list[Algorithm]:
        stated = (self.token_bucket, self.sliding_window)
        return [each.algorithm() for each in stated if each is not None]


class RateLimitSection(Section):
    """The file's `ratelimit:`."""

    limits: tuple[LimitConfig, ...] = ()

    @field_validator("limits")
    @classmethod
    def _are_distinct(cls, limits: tuple[LimitConfig, ...]) -> tuple[LimitConfig, ...]:
        seen: set[str] = set()
        for limit in limits:
            if limit.limit_id in seen:
                raise ValueError(f"limit_id {limit.limit_id} stands twice")
            seen.add(limit.limit_id)
        return limits


def declared_limits(path: Path) -> list[Limit]:
    """:raises ConfigError: the file can't be read, or its section breaks a rule."""
    return [declared.limit() for declared in read_section(path, "ratelimit", RateLimitSection).limits]
