"""What a process tells about itself: logs, traces and metrics, started together."""

from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics

from services._runtime.configuration.settings import ProcessSettings
from services._runtime.telemetry.logs import configure_logs, get_logger
from services._runtime.telemetry.metrics import BatchMetrics, RpcMetrics
from services._runtime.telemetry.tracing import Tracing, start_tracing


@dataclass(frozen=True)
class Telemetry:
    """`registry` takes a service's own metrics; `rpc` is filled by the interceptor, `batches` by
    batchers that are given one of it; `log` is structlog's logger.
    """

    service: str
    registry: CollectorRegistry
    rpc: RpcMetrics
    batches: BatchMetrics
    tracing: Tracing
    log: Any


def start_telemetry(service: str, process: ProcessSettings) -> Telemetry:
    configure_logs(service, process.log_level)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return make_telemetry(service, start_tracing(service, process))


def make_telemetry(service: str, tracing: Tracing | None = None) -> Telemetry:
    """Telemetry that touches nothing global: a test's, or a second server's in one process."""
    registry = CollectorRegistry()
    return Telemetry(
        service,
        registry,
        RpcMetrics(registry),
        BatchMetrics(registry),
        tracing or Tracing(service),
        get_logger(),
    )
