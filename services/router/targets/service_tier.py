"""A provider's service tiers: which one an attempt was billed at, and which cost more than the standard one. Pure."""

import re

_STANDARD = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand"})
_CHEAPER = frozenset({"flex", "batch"})
_WORD = re.compile(r"[a-z]+(?:_[a-z]+)*")
_LONGEST = 64


def billed_tier(asked: str, told: object) -> str:
    """What the provider says that it billed, else what it was asked for; empty for its standard."""
    known = isinstance(told, str) and len(told) <= _LONGEST and _WORD.fullmatch(told.lower())
    tier = told.lower() if known and isinstance(told, str) else asked
    return "" if tier.lower() in _STANDARD else tier


def may_cost_more(asked: str) -> bool:
    """Than the prices say, which are of the standard tier."""
    return asked.lower() not in _STANDARD | _CHEAPER
