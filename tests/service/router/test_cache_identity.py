"""Whose cached answers are whose: a model at an address answers, and not a name in a price list."""

from typing import Any

import pytest

from headgate.common.v1 import cache_status_pb2
from headgate.router.v1 import completion_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled
from tests.support.in_process import InProcessSuite

HIT, MISS = cache_status_pb2.CACHE_STATUS_EXACT, cache_status_pb2.CACHE_STATUS_MISS


def section(**first: Any) -> dict[str, Any]:
    """Two accounts that are billed alike, with a model of the same name."""
    account = {"api": "openai", "base_url": "simulator:/v1", "billed_as": "sim"}
    return {
        "providers": {"one": account, "two": account},
        "targets": {
            "a": {"provider": "one", "model": "sim-small@tokens=4", **first},
            "b": {"provider": "two", "model": "sim-small@tokens=4", **first},
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
async def test_accounts_share_answers_only_where_the_operator_says_that_they_are_the_same(
    start_router: StartRouter, declared: dict[str, str], second: int
) -> None:
    async with start_router(section(**declared)) as suite:
        assert await status_of(suite, "a") == MISS
        assert await status_of(suite, "a") == HIT
        assert await status_of(suite, "b") == second
