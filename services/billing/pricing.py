"""What tokens cost at a price: whole numbers, and one rounding per attempt."""

from dataclasses import dataclass
from enum import IntEnum

import msgspec

from services.billing.money import TOKENS_PER_RATE, half_even_quotient

# A million USD. Above it the counts are wrong, and sums would leave 64 bits.
MAX_ATTEMPT_NANOS = 10**15


class Source(IntEnum):
    """Where a resource was declared; the contract's numbers."""

    FILE = 1
    API = 2
    BUILTIN = 3


class TokenCounts(msgspec.Struct, frozen=True, gc=False):
    """Subsets are included: cache reads and writes in `input`, reasoning in `output`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates in nano-USD per million tokens, for attempts of at least `min_input_tokens`. None: as input."""

    min_input_tokens: int
    input_rate: int
    output_rate: int
    cache_read_rate: int | None = None
    cache_write_rate: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """One version of what a model costs. `tiers` ascend and begin at 0; `effective_ns` None: since ever."""

    price_id: str
    provider: str
    model: str
    tiers: tuple[Tier, ...]
    request_nanos: int = 0
    effective_ns: int | None = None
    organization_id: str = ""
    source: Source = Source.BUILTIN


def cost_nanos(price: Price, tokens: TokenCounts) -> int:
    """The attempt's cost in nano-USD. The whole of it pays the highest tier that its input reaches."""
    tier = _tier(price, tokens.input)
    fresh = tokens.input - tokens.cache_read - tokens.cache_write
    amount = (
        fresh * tier.input_rate
        + (tokens.cache_read and tokens.cache_read * _or_input(tier.cache_read_rate, tier))
        + (tokens.cache_write and tokens.cache_write * _or_input(tier.cache_write_rate, tier))
        + tokens.output * tier.output_rate
    )
    return half_even_quotient(amount, TOKENS_PER_RATE) + price.request_nanos


def most_nanos(price: Price, input_tokens: int, max_output_tokens: int) -> int:
    """The most that an attempt of at most so many tokens can cost, in whatever way its input is cached.

    A smaller input is never in a dearer tier unless the price list is perverse, so lower tiers are compared too.
    """
    reached = [tier for tier in price.tiers if tier.min_input_tokens <= input_tokens]
    most = max([_most_in_tier(tier, input_tokens, max_output_tokens) for tier in reached])
    return most + price.request_nanos


def _most_in_tier(tier: Tier, input_tokens: int, max_output_tokens: int) -> int:
    dearest = max(
        tier.input_rate, _or_input(tier.cache_read_rate, tier), _or_input(tier.cache_write_rate, tier)
    )
    return half_even_quotient(input_tokens * dearest + max_output_tokens * tier.output_rate, TOKENS_PER_RATE)


def _tier(price: Price, input_tokens: int) -> Tier:
    reached = price.tiers[0]
    for tier in price.tiers[1:]:
        if input_tokens < tier.min_input_tokens:
            break
        reached = tier
    return reached


def _or_input(rate: int | None, tier: Tier) -> int:
    return tier.input_rate if rate is None else rate
