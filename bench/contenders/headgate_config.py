"""The configuration of a Headgate that is measured: everything on, and limits that nobody reaches. Pure."""

from collections.abc import Sequence
from typing import Any

import yaml

from bench.upstream_answers import model_name

PROVIDER = "bench"
SHAPES = ((1, 0), (4, 0), (16, 0), (64, 0), (256, 0), (64, 5), (64, 20), (64, 100))
"""Tokens, and milliseconds between them."""
_AMOUNT = 10**14
_DIMENSIONS = (["key"], ["organization"], ["organization", "user"], ["organization", "model"])
_METRICS = ("requests", "total_tokens")


def organization(index: int) -> str:
    return f"org-{index:05d}"


def document(upstream: str, *, organizations: int = 50, limits: int = 4, budgets: int = 2) -> str:
    models = [model_name(*shape) for shape in SHAPES]
    section = {
        "router": _router(upstream, models),
        "ratelimit": {"limits": [_limit(index) for index in range(limits)]},
        "billing": {
            "prices": [_price(model) for model in models],
            "budgets": [
                _budget(organization(index), number)
                for index in range(organizations)
                for number in range(budgets)
            ],
        },
    }
    return yaml.safe_dump(section, sort_keys=False)


def _router(upstream: str, models: Sequence[str]) -> dict[str, Any]:
    provider = {
        "api": "openai",
        "base_url": f"http://{upstream}/v1",
        "billed_as": PROVIDER,
        "max_connections": 4096,
    }
    return {
        "providers": {PROVIDER: provider},
        "targets": {model: {"provider": PROVIDER, "model": model} for model in models},
        "models": {model: {"targets": [model]} for model in models},
    }


def _limit(index: int) -> dict[str, Any]:
    """Token buckets and sliding windows in turn, of requests and of tokens."""
    window = {"sliding_window": {"maximum": _AMOUNT, "window": "1m"}}
    bucket = {"token_bucket": {"refill_amount": _AMOUNT, "refill_interval": "1m"}}
    return {
        "limit_id": f"bench-{index}",
        "metric": _METRICS[index // 2 % 2],
        "per": _DIMENSIONS[index % len(_DIMENSIONS)],
        **(window if index % 2 else bucket),
    }


def _price(model: str) -> dict[str, Any]:
    return {
        "provider": PROVIDER,
        "model": model,
        "tiers": [{"input": "0.15", "output": "0.60", "cache_read": "0.075"}],
    }


def _budget(organization_id: str, number: int) -> dict[str, Any]:
    whose = {"organization": organization_id} | ({"user": "user"} if number else {})
    return {
        "id": f"{organization_id}/{number}",
        **whose,
        "limit_usd": "1000000000",
        "period": "month" if number else "day",
    }
