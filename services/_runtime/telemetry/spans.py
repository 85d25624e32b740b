"""Where recorded spans go: OpenTelemetry's SDK, loaded only by a process that records any."""

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from services._runtime.configuration.settings import ProcessSettings
from services._runtime.direct import NO_PROXY
from services._runtime.private import make_folder, private_file
from services._runtime.telemetry import semconv


class JsonLinesSpanExporter(SpanExporter):
    """Appends each span to a file as one JSON line, at the moment it ends."""

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        descriptor = private_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._file = os.fdopen(descriptor, "a", encoding="utf-8")
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            for span in spans:
                self._file.write(json.dumps(json.loads(span.to_json(indent=None))) + "\n")
            self._file.flush()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._file.close()


def provider_of(service: str, exporters: Sequence[Any], sample_ratio: float) -> TracerProvider:
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(sample_ratio),
        resource=Resource.create({semconv.SERVICE_NAME: f"headgate-{service}"}),
        shutdown_on_exit=False,
    )
    for processor in exporters:
        provider.add_span_processor(processor)
    return provider


def processors(process: ProcessSettings) -> list[Any]:
    """As the settings say: to a collector, to a file, or to both."""
    found: list[Any] = []
    if process.otlp_endpoint:
        found.append(BatchSpanProcessor(_collector(process.otlp_endpoint)))
    if process.trace_file is not None:
        found.append(SimpleSpanProcessor(JsonLinesSpanExporter(process.trace_file)))
    return found


def _collector(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - for those who have one
        OTLPSpanExporter,
    )

    return OTLPSpanExporter(
        endpoint,
        insecure=not endpoint.startswith("https://"),
        timeout=5,
        channel_options=(NO_PROXY,),  # type: ignore[arg-type]  # gRPC takes numbers, too
    )
