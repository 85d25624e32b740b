"""Whose cached answers are whose: a model at an address answers, and not a name in a price list."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from headgate.common.v1 import cache_status_pb2
from headgate.router.v1 import completion_pb2
from simulator.server import running
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled
from tests.support.in_process import InProcessSuite

HIT, MISS = cache_status_pb2.CACHE_STATUS_EXACT, cache_status_pb2.CACHE_STATUS_MISS


def section(other: str = "simulator:/v1", **target: Any) -> dict[str, Any]:
    """Two accounts that are billed alike, with a model of the same name; the second may be at another address."""
    account = {"api": "openai", "base_url": "simulator:/v1", "billed_as": "sim"}
    return {
        "providers": {"one": account, "two": {**account, "base_url": other}},
        "targets": {
            "a": {"provider": "one", "model": "sim-small@tokens=4", **target},
            "b": {"provider": "two", "model": "sim-small@tokens=4", **target},
        },
        "models": {"a": {"targets": ["a"]}, "b": {"targets": ["b"]}},
    }


async def status_of(suite: InProcessSuite, model: str) -> int:
    request = completion_pb2.CompletionRequest(model=model, prompt="Who are you?", temperature=0)
    completion = await suite.router.Complete(request, metadata=suite.metadata)
    await all_settled(suite)
    return completion.cache_status


@pytest.mark.parametrize(
    ("declared", "second"), [({}, MISS), ({"answers_as": "small"}, HIT)], ids=["by default", "declared"]
)
@pytest.mark.parametrize("at", ["the same address", "another address"])
async def test_accounts_share_answers_only_where_the_operator_says_that_they_are_the_same(
    start_router: StartRouter, declared: dict[str, str], second: int, at: str
) -> None:
    async with running() as elsewhere:
        other = {"other": f"{elsewhere}/v1"} if at == "another address" else {}
        async with start_router(section(**other, **declared)) as suite:
            assert await status_of(suite, "a") == MISS
            assert await status_of(suite, "a") == HIT
            assert await status_of(suite, "b") == second


async def test_names_of_one_target_share_its_answers(start_router: StartRouter) -> None:
    declared = section()
    declared["models"]["alias"] = {"targets": ["a", "b"]}
    async with start_router(declared) as suite:
        assert await status_of(suite, "a") == MISS
        assert await status_of(suite, "alias") == HIT


Change = Callable[[dict[str, Any]], object]


async def restarted(suite: InProcessSuite, change: Change) -> None:
    """The router alone, with a changed `router:` section; the cache keeps what it has."""
    file = suite.data_dir / "headgate.json"
    config = json.loads(file.read_text())
    change(config["router"])
    file.write_text(json.dumps(config))
    await suite.services["router"].stop()
    await suite.services["router"].start()


async def test_answers_outlive_a_restart_and_what_does_not_answer(start_router: StartRouter) -> None:
    changes: list[Change] = [
        lambda router: None,
        lambda router: router["providers"]["one"].update(max_connections=7),
        lambda router: router["targets"]["a"].update(context_window=10_000),
    ]
    async with start_router(section()) as suite:
        assert await status_of(suite, "a") == MISS
        for change in changes:
            await restarted(suite, change)
            assert await status_of(suite, "a") == HIT


async def test_a_provider_that_moved_has_given_no_answer_yet(start_router: StartRouter) -> None:
    async with running() as elsewhere, start_router(section()) as suite:
        assert await status_of(suite, "a") == MISS
        moved = {"base_url": f"{elsewhere}/v1"}
        await restarted(suite, lambda router: router["providers"]["one"].update(moved))
        assert await status_of(suite, "a") == MISS
        assert await status_of(suite, "a") == HIT
