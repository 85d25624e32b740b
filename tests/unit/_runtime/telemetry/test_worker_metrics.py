"""The metrics of several workers as one exposition."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from services._runtime.telemetry.worker_metrics import merge


def worker(requests: int, seconds: list[float], hit_rate: float) -> str:
    registry = CollectorRegistry()
    Counter("llm_requests", "requests", ("model", "status"), registry=registry).labels("m", "OK").inc(
        requests
    )
    duration = Histogram("llm_request_duration_seconds", "time", buckets=(1, 10), registry=registry)
    for each in seconds:
        duration.observe(each)
    Gauge("llm_cache_hit_rate", "rate", registry=registry).set(hit_rate)
    return generate_latest(registry).decode()


def test_counters_and_histograms_are_summed_and_gauges_stay_each_workers_own() -> None:
    text = merge([worker(3, [0.5], 0.25), worker(4, [0.5, 5.0], 0.75)]).decode()
    samples = {line.rsplit(" ", 1)[0]: line.rsplit(" ", 1)[1] for line in text.splitlines() if line[0] != "#"}
    assert samples['llm_requests_total{model="m",status="OK"}'] == "7.0"
    assert samples['llm_request_duration_seconds_bucket{le="1.0"}'] == "2.0"
    assert samples['llm_request_duration_seconds_bucket{le="+Inf"}'] == "3.0"
    assert samples["llm_request_duration_seconds_sum"] == "6.0"
    assert samples['llm_cache_hit_rate{worker="0"}'] == "0.25"
    assert samples['llm_cache_hit_rate{worker="1"}'] == "0.75"


def test_a_label_of_one_worker_only_is_kept() -> None:
    registry = CollectorRegistry()
    Counter("errors", "errors", ("reason",), registry=registry).labels("x").inc()
    text = merge([generate_latest(registry).decode(), generate_latest(CollectorRegistry()).decode()]).decode()
    assert 'errors_total{reason="x"} 1.0' in text
