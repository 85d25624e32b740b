"""The promise of the README at random: scripts/promise.py, shortly. Every run repeats by its seed."""

import pytest

from tests.promise.trying import Trial, try_killed_runs, try_runs

pytestmark = pytest.mark.timeout(300)


def check(trial: Trial, *happened: str) -> None:
    """All was true, and it was no empty truth: each of these came about."""
    told = "\n".join(trial.lines())
    assert not trial.broken, told
    assert all(trial.figures.count[each] for each in happened), told


async def test_it_is_kept_in_memory_and_on_sqlite() -> None:
    check(
        await try_runs(range(1, 161), {}),
        *("answered", "hits", "failed over", "RATE_LIMITED", "BUDGET_EXCEEDED", "CANCELLED"),
        *("DEADLINE_EXCEEDED", "counted", "estimated", "broken off"),
    )


async def test_it_is_kept_on_redis_and_postgresql(redis_url: str, postgres_url: str) -> None:
    stores = {
        "HEADGATE_RATELIMIT_STORE": redis_url,
        "HEADGATE_CACHE_STORE": redis_url,
        "HEADGATE_BILLING_STORE": postgres_url,
        "HEADGATE_BILLING_KEY_PEPPER": "k" * 32,
    }
    check(await try_runs(range(1001, 1061), stores), "answered", "RATE_LIMITED", "BUDGET_EXCEEDED", "booked")


async def test_it_is_kept_while_processes_are_killed() -> None:
    trial = await try_killed_runs(range(2001, 2017), {})
    check(trial, "answered", "booked", "notes")
    assert trial.figures.killed["router"]
