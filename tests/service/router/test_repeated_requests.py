"""A request that comes again the moment it was answered."""

from headgate.common.v1 import cache_status_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import ask, router_section


async def test_an_answer_is_found_by_the_request_that_follows_it(start_router: StartRouter) -> None:
    async with start_router(router_section({"m": ["sim-small@tokens=4"]})) as suite:
        for number in range(10):
            first, second = [
                await suite.router.Complete(ask("m", number, temperature=0), metadata=suite.metadata)
                for _ in range(2)
            ]
            assert first.cache_status == cache_status_pb2.CACHE_STATUS_MISS
            assert second.cache_status == cache_status_pb2.CACHE_STATUS_EXACT
