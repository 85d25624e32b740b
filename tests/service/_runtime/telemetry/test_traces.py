"""One trace over two servers, and nothing recorded of what is not sampled."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services._runtime import context
from services._runtime.calling.channel import Caller, open_channel
from services._runtime.configuration.settings import ProcessSettings
from services._runtime.context import RequestContext
from services._runtime.telemetry import semconv
from services._runtime.telemetry.tracing import Tracing, start_tracing
from tests.service._runtime.conftest import Served
from tests.service._runtime.echo import CODECS, NAME, request

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traced(sample_ratio: float = 1.0) -> tuple[Tracing, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    return Tracing("echo", [SimpleSpanProcessor(exporter)], sample_ratio), exporter


async def test_a_sampled_caller_gets_a_server_span_as_its_child(serve: Callable[..., Any]) -> None:
    tracing, exporter = traced(sample_ratio=0.0)
    served: Served = await serve(tracing=tracing)
    seen = await served.unary()(
        request("x", mode="traceparent"),
        metadata=(("traceparent", f"00-{TRACE}-{SPAN}-01"), ("x-request-id", "r1")),
    )
    (span,) = exporter.get_finished_spans()
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
    assert seen.text == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert dict(span.attributes or {}) == {
        semconv.RPC_SYSTEM_NAME: "grpc",
        semconv.RPC_METHOD: f"{NAME}/Echo",
        semconv.REQUEST_ID: "r1",
        semconv.RPC_STATUS_CODE: "OK",
    }


async def test_an_unsampled_caller_leaves_no_span_and_its_decision_travels_on(
    serve: Callable[..., Any],
) -> None:
    tracing, exporter = traced()
    served: Served = await serve(tracing=tracing)
    header = f"00-{TRACE}-{SPAN}-00"
    seen = await served.unary()(request("x", mode="traceparent"), metadata=(("traceparent", header),))
    assert seen.text == header
    assert exporter.get_finished_spans() == ()


async def test_a_trace_begun_here_is_recorded_as_the_ratio_says(serve: Callable[..., Any]) -> None:
    for ratio, recorded in ((1.0, 1), (0.0, 0)):
        tracing, exporter = traced(ratio)
        served: Served = await serve(tracing=tracing)
        seen = (await served.unary()(request("x", mode="traceparent"))).text
        assert seen.endswith(f"-0{recorded}")
        assert len(exporter.get_finished_spans()) == recorded


async def test_without_an_exporter_a_callers_trace_is_passed_on_unchanged(echo: Served) -> None:
    header = f"00-{TRACE}-{SPAN}-01"
    seen = await echo.unary()(request("x", mode="traceparent"), metadata=(("traceparent", header),))
    assert seen.text == header


async def test_a_malformed_traceparent_is_no_parent(echo: Served) -> None:
    for bad in ("00-xyz", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", ""):
        metadata = (("traceparent", bad),)
        assert (await echo.unary()(request("x", mode="traceparent"), metadata=metadata)).text == "None"


async def test_a_failed_call_is_marked_with_its_code_and_reason(serve: Callable[..., Any]) -> None:
    tracing, exporter = traced()
    served: Served = await serve(tracing=tracing)
    with pytest.raises(grpc.aio.AioRpcError):
        await served.unary()(request("x", mode="limited"))
    (limited,) = exporter.get_finished_spans()
    attributes = dict(limited.attributes or {})
    assert attributes[semconv.RPC_STATUS_CODE] == "RESOURCE_EXHAUSTED"
    assert attributes[semconv.ERROR_TYPE] == "RATE_LIMITED"
    assert limited.status.is_unset


async def test_a_batch_span_links_the_requests_that_share_it(serve: Callable[..., Any]) -> None:
    tracing, exporter = traced()
    served: Served = await serve(tracing=tracing)
    other = ("c" * 32, "d" * 16)
    context.enter(RequestContext(trace_id=TRACE, span_id=SPAN, sampled=True, links=(other,)))
    channel = open_channel(served.address)
    method = channel.unary_unary(f"/{NAME}/BatchEcho", **CODECS)
    await Caller().call(method, request("a"), timeout_seconds=5)
    await channel.close()
    (span,) = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert [(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links] == [
        other
    ]


async def test_a_span_of_a_servicers_own_is_between_its_call_and_the_peers(serve: Callable[..., Any]) -> None:
    tracing, exporter = traced()
    context.enter(RequestContext(trace_id=TRACE, span_id=SPAN, sampled=True))
    with tracing.span("chat gpt-x", {semconv.GEN_AI_REQUEST_MODEL: "gpt-x"}) as span:
        assert span is not None
        inside = context.current().traceparent
    (ended,) = exporter.get_finished_spans()
    assert inside == f"00-{TRACE}-{ended.context.span_id:016x}-01"
    assert context.current().span_id == SPAN


async def test_spans_can_be_written_to_a_file_as_lines(serve: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    tracing = start_tracing("echo", ProcessSettings(trace_file=file))
    served: Served = await serve(tracing=tracing)
    await served.unary()(request("x"))
    await served.unary()(request("x"))
    spans = [json.loads(line) for line in file.read_text().splitlines()]
    assert [span["name"] for span in spans] == [f"{NAME}/Echo"] * 2
    assert spans[0]["resource"]["attributes"]["service.name"] == "headgate-echo"
    tracing.shutdown()
