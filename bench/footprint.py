"""Memory of each service: idle, after 10,000 requests, and for each open stream."""

import threading
import time
from collections.abc import Callable

from msgspec.structs import replace

from bench import procfs
from bench.comparison import Tell
from bench.generator.window import Window
from bench.lab import Lab
from bench.scenarios import BY_NAME

REQUESTS = 10_000
STREAMS = 1_000
_SAMPLE_SECONDS = 0.2
_MB = 1_000_000
_KIB = 1024


def footprints(
    lab: Lab, name: str, tell: Tell, requests: int = REQUESTS, streams: int = STREAMS
) -> dict[str, float]:
    """Notes for the report, in MB; per open stream in KiB."""
    services = lab.members[name].running.services
    notes = {
        f"idle {each} {service}": size / _MB
        for each, sizes in lab.idle_bytes.items()
        for service, size in sizes.items()
    }
    tell(f"memory: {requests:,} requests")
    member = lab.members[name]
    lab.send(member, replace(BY_NAME["unary-miss"].window, requests=requests, seconds=120.0))
    after = _resident(lab, name)
    notes |= {f"after {requests} requests {service}": size / _MB for service, size in after.items()}
    tell(f"memory: {streams:,} open streams")
    window = BY_NAME["paced-1000"].window
    # Once before: what the first such crowd leaves behind is not a stream's.
    lab.send(member, replace(window, concurrency=streams, requests=streams))
    before = _resident(lab, name)
    peak = _peak_during(lambda: _open(lab, name, window, streams), lambda: _resident(lab, name))
    for service in services:
        notes[f"per open stream {service}"] = (peak[service] - before[service]) / streams / _KIB
    notes["per open stream"] = sum(notes[f"per open stream {service}"] for service in services)
    return notes


def _open(lab: Lab, name: str, window: Window, streams: int) -> None:
    lab.send(lab.members[name], replace(window, concurrency=streams, requests=streams))


def _resident(lab: Lab, name: str) -> dict[str, int]:
    services = lab.members[name].running.services
    return {service: procfs.resident_bytes(pid) for service, pid in services.items()}


def _peak_during(load: Callable[[], None], sample: Callable[[], dict[str, int]]) -> dict[str, int]:
    """The largest sum of the samples while the load runs."""
    loading = threading.Thread(target=load)
    loading.start()
    peak = sample()
    while loading.is_alive():
        time.sleep(_SAMPLE_SECONDS)
        peak = max(peak, sample(), key=lambda sizes: sum(sizes.values()))
    loading.join()
    return peak
