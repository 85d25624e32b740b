"""Costs against exact fractions and decimals."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.money import half_even_quotient, usd_to_nanos
from services.billing.pricing import Price, Tier, TokenCounts, cost_nanos, most_nanos

RATES = st.integers(0, 10**12)
BOUNDS = st.lists(st.integers(1, 10**6), unique=True, max_size=4).map(sorted)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    return tuple(
        Tier(bound, draw(RATES), draw(RATES), draw(st.none() | RATES), draw(st.none() | RATES))
        for bound in (0, *draw(BOUNDS))
    )


@st.composite
def token_counts(draw: st.DrawFn) -> TokenCounts:
    fresh, read, written, output = (draw(st.integers(0, 10**6)) for _ in range(4))
    return TokenCounts(fresh + read + written, output, read, written, draw(st.integers(0, output)))


def exact_cost(price: Price, tokens: TokenCounts) -> Fraction:
    tier = [each for each in price.tiers if each.min_input_tokens <= tokens.input][-1]
    fresh = tokens.input - tokens.cache_read - tokens.cache_write
    read_rate = tier.input_rate if tier.cache_read_rate is None else tier.cache_read_rate
    write_rate = tier.input_rate if tier.cache_write_rate is None else tier.cache_write_rate
    return (
        Fraction(fresh * tier.input_rate, 10**6)
        + Fraction(tokens.cache_read * read_rate, 10**6)
        + Fraction(tokens.cache_write * write_rate, 10**6)
        + Fraction(tokens.output * tier.output_rate, 10**6)
    )


@given(tiers(), token_counts(), st.integers(0, 10**9))
def test_a_cost_is_the_exact_sum_rounded_once_half_to_even(
    rates: tuple[Tier, ...], tokens: TokenCounts, per_request: int
) -> None:
    price = Price("p", "x", "y", rates, per_request)
    # `round` of a Fraction rounds half to even.
    assert cost_nanos(price, tokens) == round(exact_cost(price, tokens)) + per_request


@given(st.integers(0, 10**30), st.integers(1, 10**12))
def test_half_even_quotient_agrees_with_decimal(dividend: int, divisor: int) -> None:
    with localcontext() as context:
        context.prec = 100
        expected = (Decimal(dividend) / Decimal(divisor)).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert half_even_quotient(dividend, divisor) == int(expected)


@given(tiers(), token_counts(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_usage_within_its_bounds_costs_more_than_the_most(
    rates: tuple[Tier, ...], tokens: TokenCounts, more_input: int, more_output: int
) -> None:
    price = Price("p", "x", "y", rates, 7)
    most = most_nanos(price, tokens.input + more_input, tokens.output + more_output)
    assert cost_nanos(price, tokens) <= most


@pytest.mark.parametrize(("dividend", "expected"), [(5, 0), (15, 2), (25, 2), (26, 3), (35, 4)])
def test_ties_go_to_the_even_number(dividend: int, expected: int) -> None:
    assert half_even_quotient(dividend, 10) == expected


def test_the_whole_request_pays_the_highest_tier_that_it_reaches() -> None:
    price = Price("p", "x", "y", (Tier(0, 1_000_000, 0), Tier(200_001, 2_000_000, 0)))
    assert cost_nanos(price, TokenCounts(200_000)) == 200_000
    assert cost_nanos(price, TokenCounts(200_001)) == 400_002


def test_known_figures_of_a_provider() -> None:
    # $3 and $15 per million; cached at $0.30, written at $3.75.
    sonnet = Price("p", "x", "y", (Tier(0, 3 * 10**9, 15 * 10**9, 3 * 10**8, 375 * 10**7),))
    used = TokenCounts(input=10_000, output=500, cache_read=6_000, cache_write=2_000)
    assert cost_nanos(sonnet, used) == 6_000_000 + 1_800_000 + 7_500_000 + 7_500_000


@given(st.integers(0, 10**18))
def test_whole_nanos_of_usd_are_exact(nanos: int) -> None:
    assert usd_to_nanos(Decimal(nanos).scaleb(-9)) == nanos


@pytest.mark.parametrize("usd", ["-1", "NaN", "Infinity"])
def test_what_is_no_price_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match="is not a price"):
        usd_to_nanos(Decimal(usd))
