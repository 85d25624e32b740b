"""A client that stops reading is cut off after a while; what was produced is settled."""

import grpc
import pytest

from headgate.common.v1 import outcome_pb2
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, check_books, many, outcomes, router_section
from tests.support.rpc_errors import refused

RUNS = 10
SLOW = {"HEADGATE_ROUTER_WRITE_TIMEOUT_SECONDS": "0.3"}


async def test_a_client_that_does_not_read_is_cut_off_and_billed(
    start_router: StartRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far more than the client's window takes is queued behind the write, and the provider is read to its last token.
    monkeypatch.setattr("services.router.run.QUEUED_BYTES", 1024 * 1024)
    section = router_section({"m": ["sim-small@tokens=8001,hang-after=8000"]}, continuous_usage=False)
    async with start_router(section, **SLOW) as suite:
        narrow = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16 * 1024)]
        router = RouterServiceStub(suite.channel("router", narrow))

        async def stall(number: int) -> None:
            call = router.StreamComplete(ask("m", number, max_output_tokens=9000), metadata=suite.metadata)
            assert await call.read() is not grpc.aio.EOF
            await all_settled(suite)
            # Only now it reads on, and finds how the stream ended.
            with refused() as refusal:
                while await call.read() is not grpc.aio.EOF:
                    pass
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "SLOW_CLIENT")

        await many(stall, RUNS)
        entries = await check_books(suite, runs=RUNS)
        assert outcomes(entries) == {outcome_pb2.OUTCOME_ABORTED}
