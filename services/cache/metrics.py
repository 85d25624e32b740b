"""The tally as Prometheus metrics, read when they are asked for: counting costs a request nothing more."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from services.cache.cache import AnswerCache
from services.cache.tally import BATCH_SIZES, BatchSizes

_PREFIX = "headgate_cache"


class CacheCollector(Collector):
    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache

    def collect(self) -> Iterator[Metric]:
        counts = self._cache.counts(None)
        lookups = {"exact": counts.exact_hits, "semantic": counts.semantic_hits, "miss": counts.misses}
        yield _labelled("lookups", "lookups by what was found", "result", lookups)
        yield GaugeMetricFamily(
            "llm_cache_hit_rate", "share of the lookups since the start that found an answer", counts.hit_rate
        )
        stores = {"kept": counts.stores, "too_large": counts.refusals}
        yield _labelled("stores", "answers handed in, by whether they were kept", "result", stores)
        yield _counter("evictions", "entries forgotten for lack of room", counts.evictions)
        yield _counter("saved_tokens", "tokens that hits saved", counts.saved_tokens)
        yield _counter("saved_cost_nanos", "nano-USD that hits saved", counts.saved_cost_nanos)
        yield from self._occupancy()
        yield _batch_sizes(self._cache)

    def _occupancy(self) -> Iterator[Metric]:
        occupancy = self._cache.occupancy(None)
        if occupancy is not None:
            yield GaugeMetricFamily(f"{_PREFIX}_entries", "entries kept", occupancy.entries)
            yield GaugeMetricFamily(f"{_PREFIX}_bytes", "bytes kept, bookkeeping included", occupancy.bytes)


def _counter(name: str, about: str, value: int) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}_{name}", about, value)


def _labelled(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}_{name}", about, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _batch_sizes(cache: AnswerCache) -> Metric:
    family = HistogramMetricFamily(f"{_PREFIX}_batch_size", "items in a call", labels=["operation"])
    for operation, sizes in (("lookup", cache.tally.lookup_batches), ("store", cache.tally.store_batches)):
        family.add_metric([operation], buckets=_cumulative(sizes), sum_value=sizes.items)
    return family


def _cumulative(sizes: BatchSizes) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*map(str, BATCH_SIZES), "+Inf"), sizes.by_bound, strict=True):
        below += count
        buckets.append((bound, below))
    return buckets
