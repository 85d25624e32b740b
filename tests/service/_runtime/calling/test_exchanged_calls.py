"""What a peer makes of the calls on one stream: each has a caller, a span and a count of its own."""

from collections.abc import Callable
from typing import Any

import pytest

from headgate.common.v1.batch_context_pb2 import BatchContext
from headgate.ratelimit.v1 import ratelimit_service_pb2 as pb
from services._runtime import context
from services._runtime.calling.channel import Caller
from services._runtime.calling.exchange import Exchange
from services._runtime.configuration.settings import Secret
from services._runtime.context import RequestContext
from services._runtime.errors import Code, GatewayError
from services._runtime.rpc.authentication import require_internal_token
from services._runtime.telemetry import semconv
from services._runtime.telemetry.propagation import describe, tell_batches
from tests.service._runtime.conftest import Connect, Served, lasting, until
from tests.service._runtime.echo import request
from tests.service._runtime.telemetry.test_traces import SPAN, TRACE, traced


@pytest.mark.parametrize(("token", "reason"), [(None, "MISSING_CREDENTIALS"), (Secret("x"), "INVALID_KEY")])
async def test_a_stranger_is_refused_and_nothing_that_it_sends_is_looked_at(
    serve: Callable[..., Any], connect: Connect, token: Secret | None, reason: str
) -> None:
    tracing, exporter = traced()
    served: Served = await serve(tracing=tracing, authenticate=require_internal_token(Secret("t")))
    caller = Caller(token)
    asked = request("a")
    asked.context.request_id = "r-1"
    with pytest.raises(GatewayError) as raised:
        await caller.call(Exchange([connect(served)], caller.authorization), asked, timeout_seconds=5)
    assert (raised.value.code, raised.value.reason) == (Code.UNAUTHENTICATED, reason)
    (span,) = exporter.get_finished_spans()
    assert dict(span.attributes or {})[semconv.REQUEST_ID] != "r-1"
    assert served.servicer.calls == 0


async def test_a_peer_with_the_token_is_let_in(serve: Callable[..., Any], connect: Connect) -> None:
    served: Served = await serve(authenticate=require_internal_token(Secret("t")))
    caller = Caller(Secret("t"))
    exchange = Exchange([connect(served)], caller.authorization)
    response = await caller.call(exchange, request(mode="principal"), timeout_seconds=5)
    assert response.text == "internal"


async def test_each_request_is_counted_and_traced_as_a_call_of_its_own(
    serve: Callable[..., Any], connect: Connect
) -> None:
    tracing, exporter = traced()
    served: Served = await serve(tracing=tracing)
    streams = connect(served)
    exchange = lasting(streams)
    for number in range(3):
        context.enter(
            RequestContext(
                request_id=f"r-{number}",
                trace_id=f"{number + 1:032x}",
                span_id=SPAN,
                sampled=True,
                links=((TRACE, f"{number + 1:016x}"),),
            )
        )
        asked = request(mode="request_id")
        describe(asked.context)
        assert (await exchange(asked, timeout=5)).text == f"r-{number}"
    await until(lambda: served.counted("Exchange", "OK") == 3)
    assert (len(streams.opened), served.in_flight("Exchange")) == (1, 0)
    spans = exporter.get_finished_spans()
    assert [f"{span.context.trace_id:x}" for span in spans] == ["1", "2", "3"]
    assert {f"{span.parent.span_id:016x}" for span in spans if span.parent} == {SPAN}
    links = [(f"{link.context.trace_id:032x}", link.context.span_id) for span in spans for link in span.links]
    assert links == [(TRACE, 1), (TRACE, 2), (TRACE, 3)]
    assert [dict(span.attributes or {})[semconv.REQUEST_ID] for span in spans] == ["r-0", "r-1", "r-2"]


async def test_a_span_says_how_many_calls_its_request_carried() -> None:
    tracing, exporter = traced()
    span = tracing.begin_server_span(RequestContext(method="Exchange"), {})
    assert span is not None
    carried = pb.ExchangeRequest(context=BatchContext(request_id="r-1"))
    carried.settle.requests.add()
    carried.reserve.requests.extend(pb.ReserveRequest() for _ in range(3))
    tell_batches(span, carried)
    span.end()
    (ended,) = exporter.get_finished_spans()
    told = {
        name: value for name, value in (ended.attributes or {}).items() if name.startswith("headgate.batch")
    }
    assert told == {"headgate.batch.settle": 1, "headgate.batch.reserve": 3}


async def test_a_request_that_says_nothing_of_itself_gets_an_id_and_no_trace(
    echo: Served, connect: Connect
) -> None:
    exchange = lasting(connect(echo))
    ids = {(await exchange(request(mode="request_id"), timeout=5)).text for _ in range(3)}
    assert {len(each) for each in ids} == {32}
    assert len(ids) == 3
    assert (await exchange(request(mode="traceparent"), timeout=5)).text == "None"
