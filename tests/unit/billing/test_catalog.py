"""The shipped prices, against what genai-prices itself computes."""

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data import providers

from services.billing.catalog import Catalog, Hours, load_catalog
from services.billing.pricing import TokenCounts, cost_nanos
from services.billing.shipped_prices import to_match

NOON = 1_795_435_200 * 10**9  # 2026-11-23 12:00 UTC


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def nanos(usd: Decimal) -> int:
    return int((usd * 10**9).to_integral_value())


@pytest.mark.parametrize(
    ("provider", "model", "tokens"),
    [
        ("openai", "gpt-4o-2024-08-06", TokenCounts(1000, 500, cache_read=200)),
        ("openai", "gpt-4o-mini", TokenCounts(10, 1)),
        ("anthropic", "claude-sonnet-4-20250514", TokenCounts(10_000, 100, cache_read=300, cache_write=700)),
        ("google", "gemini-2.5-pro", TokenCounts(200_000, 100)),
        ("google", "gemini-2.5-pro", TokenCounts(200_001, 100)),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", TokenCounts(77, 33)),
        ("azure", "gpt-4o", TokenCounts(1000, 500)),
        ("aws", "anthropic.claude-3-5-sonnet-20240620-v1:0", TokenCounts(1000, 500)),
        ("deepseek", "deepseek-chat", TokenCounts(1000, 500)),
        ("x-ai", "grok-3", TokenCounts(1000, 500)),
    ],
)
@pytest.mark.parametrize("at_ns", [NOON, 1_735_689_600 * 10**9])
def test_a_price_found_here_is_the_one_that_the_data_says(
    catalog: Catalog, provider: str, model: str, tokens: TokenCounts, at_ns: int
) -> None:
    expected = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cache_read,
            cache_write_tokens=tokens.cache_write,
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=datetime.fromtimestamp(at_ns // 10**9, UTC),
    )
    price = catalog.price(provider, model, at_ns)
    assert price is not None
    assert cost_nanos(price, tokens) == nanos(expected.total_price)


def test_a_model_is_found_whatever_its_date_and_case(catalog: Catalog) -> None:
    dated, plain = catalog.price("OpenAI", "GPT-4o-2024-08-06", NOON), catalog.price("openai", "gpt-4o", NOON)
    assert dated is not None
    assert dated == plain


@pytest.mark.parametrize(("provider", "model"), [("openai", "no-such-model"), ("nobody", "gpt-4o")])
def test_what_is_not_in_the_data_has_no_price(catalog: Catalog, provider: str, model: str) -> None:
    assert catalog.price(provider, model, NOON) is None
    assert catalog.price(provider, model, NOON) is None


def test_versions_have_stable_distinct_ids_that_name_the_data(catalog: Catalog) -> None:
    again = [price.price_id for price in load_catalog().prices()]
    ids = [price.price_id for price in catalog.prices()]
    assert ids == again
    assert len(ids) > 2000
    assert all(name.startswith("genai-prices-") for name in ids)


def test_every_version_has_ascending_tiers_from_zero(catalog: Catalog) -> None:
    for price in catalog.prices():
        bounds = [tier.min_input_tokens for tier in price.tiers]
        assert bounds[0] == 0
        assert bounds == sorted(set(bounds))


def test_matchers_judge_names_as_the_datas_own_clauses_do() -> None:
    models = [model for provider in providers for model in provider.models]
    clauses = [model.match for model in models]
    clauses += [provider.provider_match for provider in providers if provider.provider_match is not None]
    ids = [model.id for model in models]
    names = [*ids[::9], *(f"{name}-2026-01-31" for name in ids[::50]), *(name.upper() for name in ids[::50])]
    for clause in clauses:
        match = to_match(clause)
        assert [match.includes(name) for name in names] == [clause.is_match(name) for name in names]


@pytest.mark.parametrize(
    ("hours", "hour", "inside"),
    [
        (Hours(3600, 7200), 1, True),
        (Hours(3600, 7200), 2, False),
        (Hours(82_800, 3600), 0, True),
        (Hours(82_800, 3600), 12, False),
    ],
)
def test_hours_may_pass_midnight(hours: Hours, hour: int, *, inside: bool) -> None:
    assert hours.contains(hour * 3600 * 10**9) is inside
