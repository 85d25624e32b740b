"""Settings, and fields of the configuration file, that no other test sets: each changes what can be seen."""

import asyncio
import json
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from sqlalchemy.engine import make_url

from headgate.billing.v1 import billing_service_pb2, budget_pb2
from headgate.common.v1 import cache_status_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2
from headgate.router.v1 import completion_pb2
from services._runtime.configuration.config import read_section
from services._runtime.configuration.settings import ProcessSettings, read_settings, read_shared
from services._runtime.rpc.server import server_options
from services._runtime.telemetry.spans import processors, provider_of
from services._runtime.telemetry.telemetry import make_telemetry
from services.billing.config import BillingSection
from services.billing.stores.sql.postgresql import open_postgresql
from services.ratelimit.stores.redis_script import ScriptedRedis
from services.router.__main__ import connect_peers
from services.router.settings import RouterSettings
from tests.service.router.conftest import StartRouter
from tests.service.router.providers.asking import answer, ask, request, user
from tests.service.router.providers.conftest import Build
from tests.support.in_process import InProcessSuite, in_process
from tests.support.raw_http import DONE, EVENTS, HI, STOP, answering, saying
from tests.support.waiting import until
from tests.sweep.sections import section

BODY = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1}}'
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


def hello(**fields: Any) -> completion_pb2.CompletionRequest:
    return completion_pb2.CompletionRequest(model="m", prompt="hi", **fields)


def test_what_grpc_is_told_follows_the_settings() -> None:
    told = dict(
        server_options(
            ProcessSettings(
                listen="127.0.0.1:0",
                metrics_listen="off",
                max_connections=7,
                max_calls_per_connection=8,
                max_connection_idle_seconds=9,
                max_connection_age_seconds=10,
            )
        )
    )
    assert told["grpc.max_allowed_incoming_connections"] == 7
    assert told["grpc.max_concurrent_streams"] == 8
    assert told["grpc.max_connection_idle_ms"] == 9000
    assert told["grpc.max_connection_age_ms"] == 10_000


async def test_requests_in_flight_have_the_room_that_is_set(start_router: StartRouter) -> None:
    router = section("sim-small@tokens=2,ttft=2s")
    async with start_router(router, HEADGATE_ROUTER_MAX_REQUEST_BYTES_IN_FLIGHT=str(4 * 2**20)) as suite:
        large = completion_pb2.CompletionRequest(model="m", prompt="x" * (3 * 2**19), max_output_tokens=9)
        first = suite.router.Complete(large, metadata=suite.metadata)
        await until(lambda: bool(suite.pipeline._runs), "the first request to run")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await suite.router.Complete(large, metadata=suite.metadata)
        first.cancel()
    assert "bytes of requests in flight" in str(refused.value.details())


async def test_spans_are_exported_to_the_address_that_is_set() -> None:
    heard: list[str] = []

    class Collector(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - as the contract names it
            heard.extend(
                span.name
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            )
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    process = ProcessSettings(
        listen="127.0.0.1:0", metrics_listen="off", otlp_endpoint=f"http://127.0.0.1:{port}"
    )
    provider = provider_of("router", processors(process), 1.0)
    with provider.get_tracer("test").start_as_current_span("work"):
        pass
    await asyncio.to_thread(provider.shutdown)
    await asyncio.to_thread(server.stop(0).wait)
    assert heard == ["work"]


async def test_a_provider_is_told_the_most_output_that_is_set(tmp_path: Path) -> None:
    """By the target; and where a hard budget binds, without that, by the router."""
    asked: list[Any] = []

    def said(heard: bytes) -> tuple[bytes, ...]:
        if heard.startswith(b"POST"):
            asked.append(json.loads(heard.partition(b"\r\n\r\n")[2]).get("max_completion_tokens"))
        return (JSON,)

    async with answering(said, close=False) as (url, _):
        for target in ({"max_output_tokens": 77}, {}):
            router = section("sim-x", **target)
            router["providers"]["sim"]["base_url"] = url
            environ = {"HEADGATE_ROUTER_MAX_OUTPUT_TOKENS": "99"}
            prices = {
                "billing": {
                    "prices": [
                        {"provider": "sim", "model": "sim-x", "tiers": [{"input": "1", "output": "1"}]}
                    ]
                }
            }
            folder = tmp_path / str(len(asked))
            folder.mkdir()
            async with in_process(folder, router, environ, others=prices) as suite:
                await suite.billing.SetBudget(
                    billing_service_pb2.SetBudgetRequest(
                        budget=budget_pb2.Budget(
                            budget_id="b",
                            organization_id="acme",
                            limit_nanos=10**12,
                            period=budget_pb2.BUDGET_PERIOD_TOTAL,
                        )
                    )
                )
                await suite.router.Complete(hello(), metadata=suite.metadata)
    assert asked == [77, 99]


async def test_an_answer_that_nobody_waits_for_runs_on_for_as_long_as_is_set(
    start_router: StartRouter,
) -> None:
    outcomes = []
    for linger in ("0", "30"):
        async with start_router(
            section("sim-small@tokens=2,ttft=300ms"), HEADGATE_ROUTER_LINGER_SECONDS=linger
        ) as suite:
            call = suite.router.Complete(hello(), metadata=suite.metadata)
            await until(lambda: bool(suite.served()), "the provider to be asked")
            call.cancel()
            await until(lambda: not suite.pipeline._runs, "the end of the run")
            await until(
                lambda: all(record.outcome != "running" for record in suite.served().values()), "its end"
            )
            outcomes += [record.outcome for record in suite.served().values()]
    assert outcomes == ["client_gone", "complete"]


async def test_the_spool_and_what_was_refused_have_the_room_that_is_set(start_router: StartRouter) -> None:
    room = {"HEADGATE_ROUTER_SPOOL_MAX_BYTES": "1048576", "HEADGATE_ROUTER_REFUSED_MAX_BYTES": "2097152"}
    async with start_router(section(), **room) as suite:
        settlements = suite.pipeline._settlements
        assert settlements._spool._max_bytes == 1048576
        assert settlements._refused._max_bytes == 2097152


async def test_a_peer_that_hangs_is_waited_for_as_long_as_is_set() -> None:
    environ = {"HEADGATE_ROUTER_PEER_TIMEOUT_SECONDS": "7", "HEADGATE_ROUTER_PEER_TIMEOUT_FLOOR_SECONDS": "3"}
    settings = read_settings(RouterSettings, "HEADGATE_ROUTER_", environ)
    peers = connect_peers(settings, read_shared({}), make_telemetry("router"))
    for peer in peers.values():
        timeout = peer.learned_timeout()
        assert (timeout._floor_seconds, timeout._ceiling_seconds) == (3, 7)


async def test_a_postgresql_is_given_as_many_connections_as_are_set() -> None:
    database = open_postgresql(make_url("postgresql://u:p@127.0.0.1:1/d"), 3)
    assert database._writer.pool.size() == 3  # type: ignore[attr-defined]
    await database.close()


async def test_a_redis_is_given_as_many_connections_as_are_set() -> None:
    redis = ScriptedRedis.connect("redis://127.0.0.1:1/0", 0.1, 3)
    assert redis.client.connection_pool.max_connections == 3


async def test_orphans_are_looked_for_and_released_in_the_times_that_are_set(
    start_router: StartRouter,
) -> None:
    times = {"HEADGATE_BILLING_SWEEP_SECONDS": "0.05", "HEADGATE_BILLING_ORPHAN_GRACE_SECONDS": "0.1"}
    async with start_router(section(), **times) as suite:
        request = billing_service_pb2.AuthorizeRequest(
            hold_id="h",
            caller=suite.caller,
            candidates=[billing_service_pb2.Candidate(provider="sim", model="sim-small@tokens=2")],
            input_tokens=1,
            max_output_tokens=1,
        )
        request.ttl.FromSeconds(1)
        await suite.billing.Authorize(request)
        await until(lambda: suite.holds()["voided"] == 1, "the release of the orphan")


async def test_a_reservation_lives_as_long_as_is_set(start_router: StartRouter) -> None:
    async with start_router(section(), HEADGATE_RATELIMIT_RESERVATION_TTL_SECONDS="1") as suite:
        reserve = ratelimit_service_pb2.ReserveRequest(reservation_id="r", caller=suite.caller, model="m")
        settle = ratelimit_service_pb2.SettleRequest(reservation_id="r", caller=suite.caller)
        for amounts in (reserve.amounts, settle.amounts):
            amounts.requests = 1
        async with asyncio.timeout(10):
            # Nothing tells when it is over but that it can't be settled any more; each that settles is taken back by another.
            while (await settled_after(suite, reserve, settle, 1.1)).settled:
                pass


async def settled_after(
    suite: InProcessSuite,
    reserve: ratelimit_service_pb2.ReserveRequest,
    settle: ratelimit_service_pb2.SettleRequest,
    seconds: float,
) -> ratelimit_service_pb2.SettleResponse:
    reserve.reservation_id += "r"
    settle.reservation_id = reserve.reservation_id
    await suite.ratelimit.Reserve(reserve)
    await asyncio.sleep(seconds)
    return await suite.ratelimit.Settle(settle)


async def test_a_connection_that_rests_longer_than_is_set_is_not_used_again(built: Build) -> None:
    connections = []
    for seconds in (0.05, 60):
        async with saying(JSON, close=False) as (url, heard):
            provider = built("openai", url, keep_alive_seconds=seconds)
            for _ in range(2):
                assert (await answer(ask(provider, streamed=False))).failure is None
                await asyncio.sleep(0.2)
            connections.append(heard.connections)
    assert connections == [2, 1]


async def test_ids_of_nine_letters_are_sent_where_they_are_declared(built: Build) -> None:
    said = completion_pb2.CompletionRequest()
    turn = said.messages.add(role=3)
    turn.parts.add().tool_call.id = "call_0"
    turn.parts[0].tool_call.name = "f"
    async with saying(EVENTS + b"\r\n", HI + STOP + DONE) as (url, heard):
        for nine in (False, True):
            provider = built("openai", url, nine_letter_tool_call_ids=nine)
            await answer(ask(provider, request(user("hi"), turn)))
    sent = [
        json.loads(each.partition(b"\r\n\r\n")[2])["messages"][1]["tool_calls"][0]["id"] for each in heard
    ]
    assert sent == ["call_0", "c00000000"]


async def test_answers_are_shared_as_far_as_the_scope_says(start_router: StartRouter) -> None:
    found = []
    for scope in ("key", "organization"):
        async with start_router(section() | {"cache_scope": scope}) as suite:
            other, _ = await suite.new_key("acme", "bob")
            await suite.router.Complete(hello(temperature=0), metadata=suite.metadata)
            await until(lambda: suite.pipeline._settlements.depth == 0, "the end of the first")
            await asyncio.sleep(0.1)
            again = await suite.router.Complete(hello(temperature=0), metadata=other)
            found.append(again.cache_status)
    assert found == [cache_status_pb2.CACHE_STATUS_MISS, cache_status_pb2.CACHE_STATUS_EXACT]


def test_prices_of_the_file_are_those_that_are_booked(tmp_path: Path) -> None:
    path = tmp_path / "headgate.yaml"
    path.write_text(
        "billing:\n  prices:\n    - {provider: p, model: m, tiers: [{input: '3', output: '15', cache_read: '0.3', cache_write: '3.75'}]}\n",
        encoding="utf-8",
    )
    (price,) = [each.price() for each in read_section(path, "billing", BillingSection).prices]
    (tier,) = price.tiers
    assert (tier.cache_read_rate, tier.cache_write_rate) == (300_000_000, 3_750_000_000)
