"""Money as whole nano-USD: conversion from decimals, and the one rounding."""

from decimal import Decimal

NANOS_PER_USD = 10**9
TOKENS_PER_RATE = 10**6


def half_even_quotient(dividend: int, divisor: int) -> int:
    """`dividend / divisor` (divisor > 0), rounded to the nearest whole number, ties to the even one."""
    quotient, remainder = divmod(dividend, divisor)
    doubled = 2 * remainder
    if doubled > divisor or (doubled == divisor and quotient % 2):
        return quotient + 1
    return quotient


def usd_to_nanos(usd: Decimal) -> int:
    """The nearest whole number of nano-USD, ties to the even one.

    :raises ValueError: the amount is negative or not finite.
    """
    if not usd.is_finite() or usd < 0:
        raise ValueError(f"{usd} USD is not a price")
    numerator, denominator = usd.as_integer_ratio()
    return half_even_quotient(numerator * NANOS_PER_USD, denominator)
