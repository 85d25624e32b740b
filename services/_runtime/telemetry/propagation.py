"""What the calls of a batch say of the requests that they serve, inside the message: it has no metadata of its own."""

from collections.abc import Iterator
from typing import Any

from opentelemetry.trace import Span

from services._runtime import context
from services._runtime.context import REQUEST_ID_KEY
from services._runtime.telemetry import semconv
from services._runtime.telemetry.tracing import LINKS_KEY, TRACEPARENT_KEY, render_links


def describe(said: Any) -> None:
    """Put into a BatchContext what the metadata of a call says of the current request."""
    request = context.current()
    said.request_id = request.request_id
    said.traceparent = request.traceparent or ""
    said.links = render_links(request.links)


def said_of(said: Any) -> dict[str, str]:
    """A BatchContext as the metadata of a call."""
    return dict(_pairs(said))


def tell_batches(span: Span, request: Any) -> None:
    """Into the span of a request: how many calls are in each of its batches."""
    for field, batch in request.ListFields():
        if hasattr(batch, "requests"):
            span.set_attribute(f"{semconv.BATCH_SIZE}.{field.name}", len(batch.requests))


def _pairs(said: Any) -> Iterator[tuple[str, str]]:
    for key, value in (
        (REQUEST_ID_KEY, said.request_id),
        (TRACEPARENT_KEY, said.traceparent),
        (LINKS_KEY, said.links),
    ):
        if value:
            yield key, value
