"""Traces: W3C parents in, parent-based sampling, spans only for what is sampled."""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

from services._runtime import context, semconv
from services._runtime.context import RequestContext
from services._runtime.settings import ProcessSettings

TRACEPARENT_KEY = "traceparent"
LINKS_KEY = "x-headgate-trace-links"
MAX_LINKS = 32

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class JsonLinesSpanExporter(SpanExporter):
    """Appends each span to a file as one JSON line, at the moment it ends."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            for span in spans:
                self._file.write(json.dumps(json.loads(span.to_json(indent=None))) + "\n")
            self._file.flush()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._file.close()


class Tracing:
    """The process's tracer. Off (no exporter) it records nothing and passes a caller's trace on unchanged."""

    def __init__(self, service: str, exporters: Sequence[Any] = (), sample_ratio: float = 1.0) -> None:
        self._on = bool(exporters)
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(sample_ratio),
            resource=Resource.create({semconv.SERVICE_NAME: f"headgate-{service}"}),
            shutdown_on_exit=False,
        )
        for processor in exporters:
            self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("headgate")

    def begin_server_span(self, request: RequestContext, metadata: Mapping[str, Any]) -> Span | None:
        """The span of an incoming call, or None when it is not recorded; sets the request's trace ids."""
        parent = _parent(metadata.get(TRACEPARENT_KEY))
        if parent is not None:
            request.trace_id, request.span_id = f"{parent.trace_id:032x}", f"{parent.span_id:016x}"
            request.sampled = bool(parent.trace_flags & TraceFlags.SAMPLED)
        if not self._on or (parent is not None and not request.sampled):
            return None
        return self._begin(request, parent, _links(metadata.get(LINKS_KEY)))

    def _begin(
        self, request: RequestContext, parent: SpanContext | None, links: Sequence[Link]
    ) -> Span | None:
        span = self._tracer.start_span(
            request.method,
            context=None if parent is None else set_span_in_context(NonRecordingSpan(parent)),
            kind=SpanKind.SERVER,
            attributes={
                semconv.RPC_SYSTEM_NAME: "grpc",
                semconv.RPC_METHOD: request.method,
                semconv.REQUEST_ID: request.request_id,
            },
            links=links,
        )
        _adopt(request, span)
        return span if span.is_recording() else None

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, Any] | None = None, *, kind: SpanKind = SpanKind.CLIENT
    ) -> Iterator[Span | None]:
        """A child of the current request's span around a block; None when that is not recorded."""
        outer = context.current()
        parent = _parent(outer.traceparent) if self._on and outer.sampled else None
        if parent is None:
            yield None
            return
        inner = replace(outer)
        with self._tracer.start_as_current_span(
            name, context=set_span_in_context(NonRecordingSpan(parent)), kind=kind, attributes=attributes
        ) as span:
            _adopt(inner, span)
            context.enter(inner)
            try:
                yield span
            finally:
                context.enter(outer)

    def shutdown(self) -> None:
        self._provider.shutdown()


def start_tracing(service: str, process: ProcessSettings) -> Tracing:
    """Exporters as the settings say: a collector, a file, both or none."""
    exporters: list[Any] = []
    if process.otlp_endpoint:
        insecure = not process.otlp_endpoint.startswith("https://")
        exporters.append(
            BatchSpanProcessor(OTLPSpanExporter(process.otlp_endpoint, insecure=insecure, timeout=5))
        )
    if process.trace_file is not None:
        exporters.append(SimpleSpanProcessor(JsonLinesSpanExporter(process.trace_file)))
    return Tracing(service, exporters, process.trace_sample_ratio)


def render_links(links: Sequence[tuple[str, str]]) -> str:
    return ",".join(f"{trace_id}-{span_id}" for trace_id, span_id in links[:MAX_LINKS])


def _adopt(request: RequestContext, span: Span) -> None:
    own = span.get_span_context()
    request.trace_id, request.span_id = f"{own.trace_id:032x}", f"{own.span_id:016x}"
    request.sampled = bool(own.trace_flags & TraceFlags.SAMPLED)


def _parent(header: Any) -> SpanContext | None:
    match = _TRACEPARENT.match(header) if isinstance(header, str) else None
    if match is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


def _links(header: Any) -> list[Link]:
    if not isinstance(header, str):
        return []
    parents = (_parent(f"00-{pair}-01") for pair in header.split(",")[:MAX_LINKS])
    return [Link(parent) for parent in parents if parent is not None]
