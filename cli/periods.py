"""Periods and rates as people type them: `90s`, `12h`, `30d`; `60/1m`."""

import re
from datetime import UTC, datetime, timedelta

import typer

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PERIOD = re.compile(r"^(\d*)\s*(ms|s|m|min|h|d|w)$")


def period(text: str) -> timedelta:
    """:raises typer.BadParameter: not a number of units"""
    found = _PERIOD.match(text.strip())
    value = _UNITS[found[2]] * int(found[1] or 1) if found else timedelta()
    if value <= timedelta():
        raise typer.BadParameter(f"`{text}` is not a period, such as 90s, 15m, 12h or 30d")
    return value


def since(text: str, now: datetime) -> datetime:
    """A day (`2026-11-01`, UTC), a moment in ISO 8601, or so long before `now`.

    :raises typer.BadParameter: none of these
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now - period(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def rate(text: str) -> tuple[str, timedelta]:
    """`60/1m` as its amount, still text, and its period.

    :raises typer.BadParameter: not of that form
    """
    amount, slash, length = text.partition("/")
    if not slash or not amount.strip():
        raise typer.BadParameter(f"`{text}` is not AMOUNT/PERIOD, such as 60/1m or 100000/1h")
    return amount.strip(), period(length)
