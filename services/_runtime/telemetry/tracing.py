"""Traces: W3C parents in, parent-based sampling, spans only for what is sampled."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from services._runtime import context
from services._runtime.configuration.settings import ProcessSettings
from services._runtime.context import RequestContext
from services._runtime.telemetry import semconv

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

TRACEPARENT_KEY = "traceparent"
LINKS_KEY = "x-headgate-trace-links"
MAX_LINKS = 32

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class Tracing:
    """The process's tracer. Off (no exporter) it records nothing and passes a caller's trace on unchanged."""

    def __init__(self, service: str, exporters: Sequence[Any] = (), sample_ratio: float = 1.0) -> None:
        self._on = bool(exporters)
        self._tracer: Tracer = NoOpTracer()
        self._provider: TracerProvider | None = None
        if exporters:
            from services._runtime.telemetry.spans import provider_of  # noqa: PLC0415 - 3 MB that tracing alone needs

            self._provider = provider_of(service, exporters, sample_ratio)
            self._tracer = self._provider.get_tracer("headgate")

    def begin_server_span(self, request: RequestContext, metadata: Mapping[str, Any]) -> Span | None:
        """The span of an incoming call, or None when it is not recorded; sets the request's trace ids."""
        header = metadata.get(TRACEPARENT_KEY)
        parent = _TRACEPARENT.match(header) if isinstance(header, str) else None
        if parent is not None:
            request.trace_id, request.span_id, flags = parent.groups()
            request.sampled = bool(int(flags, 16) & TraceFlags.SAMPLED)
        if not self._on or (parent is not None and not request.sampled):
            return None
        return self._begin(request, _parent(header), _links(metadata.get(LINKS_KEY)))

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
        if self._provider is not None:
            self._provider.shutdown()


def start_tracing(service: str, process: ProcessSettings) -> Tracing:
    """Exporters as the settings say: a collector, a file, both or none."""
    if not process.otlp_endpoint and process.trace_file is None:
        return Tracing(service)
    from services._runtime.telemetry.spans import processors  # noqa: PLC0415 - 3 MB that tracing alone needs

    return Tracing(service, processors(process), process.trace_sample_ratio)


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
