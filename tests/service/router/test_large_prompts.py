"""Prompts of many megabytes that coincide: none is in another's way."""

import asyncio

from headgate.common.v1 import cache_status_pb2
from headgate.router.v1 import completion_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, router_section

SECTION = router_section({"m": ["sim-small@tokens=4"]})
PROMPTS = 4
PROMPT_BYTES = 7 * 1024 * 1024
"""One look-up of it can be sent to the cache; four in one message can't."""


def question(number: int) -> completion_pb2.CompletionRequest:
    request = ask("m", number, temperature=0)
    request.prompt = f"{number} ".ljust(PROMPT_BYTES, "x")
    return request


async def test_look_ups_that_are_too_large_together_are_answered_apart(start_router: StartRouter) -> None:
    async with start_router(SECTION) as suite:
        for expected in (cache_status_pb2.CACHE_STATUS_MISS, cache_status_pb2.CACHE_STATUS_EXACT):
            answers = await asyncio.gather(
                *(suite.router.Complete(question(n), metadata=suite.metadata) for n in range(PROMPTS))
            )
            await all_settled(suite)
            assert {answer.cache_status for answer in answers} == {expected}
