"""Prometheus: the process's registry, its RPC metrics, and the endpoint that serves them."""

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from services._runtime.address import split_host_port

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
_CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SCRAPE_SECONDS = 10.0


class MethodMetrics:
    """The metrics of one RPC, with their label look-ups already done."""

    __slots__ = ("_by_code", "_duration", "_errors", "_in_flight", "_requests", "_rpc")

    def __init__(self, metrics: "RpcMetrics", rpc: str) -> None:
        self._rpc = rpc
        self._requests, self._errors = metrics.requests, metrics.errors
        self._duration = metrics.duration.labels(rpc)
        self._in_flight = metrics.in_flight.labels(rpc)
        self._by_code: dict[str, Counter] = {}

    def begin(self) -> None:
        self._in_flight.inc()

    def end(self, code: str, reason: str, seconds: float) -> None:
        self._in_flight.dec()
        self._duration.observe(seconds)
        counter = self._by_code.get(code)
        if counter is None:
            counter = self._by_code[code] = self._requests.labels(self._rpc, code)
        counter.inc()
        if reason:
            self._errors.labels(self._rpc, code, reason).inc()


class RpcMetrics:
    """Requests, errors, durations and calls in flight, by RPC."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "headgate_rpc_requests", "RPCs that ended, by status code", ("rpc", "code"), registry=registry
        )
        self.errors = Counter(
            "headgate_rpc_errors", "RPCs that failed, by reason", ("rpc", "code", "reason"), registry=registry
        )
        self.duration = Histogram(
            "headgate_rpc_duration_seconds",
            "time from an RPC's start to its end",
            ("rpc",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge("headgate_rpc_in_flight", "RPCs being served", ("rpc",), registry=registry)

    def method(self, rpc: str) -> MethodMetrics:
        return MethodMetrics(self, rpc)


class BatchMetrics:
    """Sizes of the batches sent to each peer, and the calls left waiting when one leaves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._size = Histogram(
            "headgate_batch_size", "calls in a batch", ("peer",), buckets=_BATCH_BUCKETS, registry=registry
        )
        self._queued = Gauge("headgate_batch_queued", "calls left waiting", ("peer",), registry=registry)

    def of(self, peer: str) -> Callable[[int, int], None]:
        """What a PacedBatcher of calls to `peer` takes as its `on_departure`."""
        size, queued = self._size.labels(peer), self._queued.labels(peer)

        def on_departure(batch_size: int, queue_length: int) -> None:
            size.observe(batch_size)
            queued.set(queue_length)

        return on_departure


class MetricsEndpoint:
    """Answers `GET /metrics` with what `exposition` returns; everything else is 404."""

    def __init__(self, exposition: Callable[[], Awaitable[bytes]]) -> None:
        self._exposition = exposition
        self._server: asyncio.Server | None = None

    async def start(self, listen: str) -> int:
        host, port = split_host_port(listen)
        self._server = await asyncio.start_server(self._answer, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SCRAPE_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._response(head.split(b"\r\n", 1)[0]))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # a scraper that went away, or never asked, is owed nothing
        finally:
            writer.close()

    async def _response(self, request_line: bytes) -> bytes:
        target = request_line.split(b" ")[1:2]
        if not request_line.startswith(b"GET ") or target[0].split(b"?")[0] != b"/metrics":
            return _http(b"404 Not Found", b"text/plain", b"metrics are at /metrics\n")
        return _http(b"200 OK", _CONTENT_TYPE, await self._exposition())


def exposition_of(registry: CollectorRegistry) -> Callable[[], Awaitable[bytes]]:
    async def exposition() -> bytes:
        return generate_latest(registry)

    return exposition


def _http(status: bytes, content_type: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, content_type, len(body)) + body
