"""One exposition for several workers: counters and histograms add up, gauges keep a `worker` label."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from services._runtime.address import split_host_port

_ADDITIVE = frozenset({"counter", "histogram", "summary"})


def merged_exposition(worker_addresses: Sequence[str]) -> Callable[[], Awaitable[bytes]]:
    async def exposition() -> bytes:
        return merge(await asyncio.gather(*(_scrape(address) for address in worker_addresses)))

    return exposition


def merge(expositions: Sequence[str]) -> bytes:
    """The sum over workers where a sum is the truth; a gauge (a ratio, a state) stays each worker's own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged([list(text_string_to_metric_families(text)) for text in expositions]))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, workers: Sequence[Sequence[Metric]]) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        for index, families in enumerate(self._workers):
            for family in families:
                into = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                totals = sums.setdefault(family.name, {})
                own = {} if family.type in _ADDITIVE else {"worker": str(index)}
                for sample in family.samples:
                    key = (sample.name, tuple({**sample.labels, **own}.items()))
                    totals[key] = totals.get(key, 0.0) + sample.value
                into.samples = []
        for name, metric in merged.items():
            for (sample_name, labels), value in sums[name].items():
                metric.add_sample(sample_name, dict(labels), value)
        return merged.values()


async def _scrape(address: str) -> str:
    reader, writer = await asyncio.open_connection(*split_host_port(address))
    try:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: worker\r\n\r\n")
        response = await reader.read()
    finally:
        writer.close()
    return response.partition(b"\r\n\r\n")[2].decode()
