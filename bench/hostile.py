"""What a caller waits while another sends the worst requests that it can: millions of the smallest items, in every field."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from bench import procfs
from bench.contenders.contender import Running
from bench.rounds import percentile
from bench.smallest_items import Bomb, bombs
from bench.upstream_answers import model_name
from headgate.router.v1 import job_service_pb2, router_service_pb2, router_service_pb2_grpc
from services._runtime.direct import open_cleartext

MODEL = model_name(64, 0)
BYTES = 8 * 1024 * 1024
MOST_WAIT_MS = 100.0
MOST_GROWTH_MIB = 64.0
MOST_KEPT = 0.2
_USUAL_SECONDS = 3.0
_CALM_SECONDS = 30.0
_EVERY_SECONDS = 0.01
_MIB = 1024 * 1024
_OPTIONS = [("grpc.max_send_message_length", 2 * BYTES), ("grpc.use_local_subchannel_pool", 1)]


@dataclass(slots=True)
class Neighbour:
    """Another caller, which counts tokens: the router alone answers that."""

    target: str
    key: str
    waits_us: list[int] = field(default_factory=list)
    is_done: bool = False

    def run(self) -> None:
        request = router_service_pb2.CountTokensRequest(model=MODEL, prompt="Hello")
        metadata = (("authorization", f"Bearer {self.key}"),)
        with open_cleartext(self.target, _OPTIONS) as channel:
            router = router_service_pb2_grpc.RouterServiceStub(channel)
            while not self.is_done:
                began = time.perf_counter()
                router.CountTokens(request, metadata=metadata, timeout=60)
                self.waits_us.append(round((time.perf_counter() - began) * 1e6))
                time.sleep(_EVERY_SECONDS)


@dataclass(frozen=True, slots=True)
class Attack:
    """Of one kind of caller. Waits of the neighbour in milliseconds, the router's memory in MiB."""

    name: str
    requests: int
    answered: int
    usual_ms: float
    median_ms: float
    worst_ms: float
    idle_mib: float
    peak_mib: float
    after_mib: float


def attack_each(running: Running, tell: Callable[[str], None]) -> list[Attack]:
    """With a key, and without one."""
    found = []
    for name, key in (("with a key", running.target.keys[0]), ("without a key", "")):
        tell(f"{BYTES // _MIB} MiB of the smallest items in every field of every RPC, {name}")
        found.append(_attack(running, name, key))
    return found


def _attack(running: Running, name: str, key: str) -> Attack:
    pid, target = running.services["router"], running.target.address
    neighbour = Neighbour(target, running.target.keys[1])
    thread = threading.Thread(target=neighbour.run)
    thread.start()
    time.sleep(_USUAL_SECONDS)
    idle, peak = procfs.resident_bytes(pid), 0
    usual, neighbour.waits_us = sorted(neighbour.waits_us), []
    requests, answered = 0, 0
    with open_cleartext(target, _OPTIONS) as channel:
        for bomb in _bombs():
            answered += _send(channel, bomb, key)
            requests += 1
            peak = max(peak, procfs.resident_bytes(pid))
    waits = sorted(neighbour.waits_us)
    neighbour.is_done = True
    thread.join()
    time.sleep(_CALM_SECONDS)
    return Attack(
        name,
        requests,
        answered,
        percentile(usual, 0.5) / 1e3,
        percentile(waits, 0.5) / 1e3,
        waits[-1] / 1e3,
        idle / _MIB,
        peak / _MIB,
        procfs.resident_bytes(pid) / _MIB,
    )


def _bombs() -> Iterator[Bomb]:
    for file in (router_service_pb2, job_service_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            yield from bombs(service, BYTES)


def _send(channel: grpc.Channel, bomb: Bomb, key: str) -> bool:
    """Whether it was answered instead of refused."""
    call: Any = channel.unary_stream(bomb.method)
    try:
        list(call(bomb.raw, metadata=(("authorization", f"Bearer {key}"),) if key else (), timeout=60))
    except grpc.RpcError:
        return False
    return True


def notes(attacks: list[Attack]) -> dict[str, float]:
    """Figures by what was measured."""
    return {
        f"{each.name}, {what}": value
        for each in attacks
        for what, value in (
            ("requests", each.requests),
            ("answered", each.answered),
            ("usual p50 ms", each.usual_ms),
            ("p50 ms", each.median_ms),
            ("worst ms", each.worst_ms),
            ("idle MiB", each.idle_mib),
            ("peak MiB", each.peak_mib),
            ("MiB 30 s later", each.after_mib),
        )
    }


def problems(attacks: list[Attack]) -> list[str]:
    """Where what was promised does not hold."""
    found = []
    for each in attacks:
        if each.worst_ms > MOST_WAIT_MS:
            found.append(f"{each.name}: another caller waited {each.worst_ms:.0f} ms")
        if each.peak_mib - each.idle_mib > MOST_GROWTH_MIB:
            found.append(f"{each.name}: the router grew by {each.peak_mib - each.idle_mib:.0f} MiB")
        if each.after_mib > (1 + MOST_KEPT) * each.idle_mib:
            found.append(f"{each.name}: {each.after_mib - each.idle_mib:.0f} MiB were kept")
        if each.answered:
            found.append(f"{each.name}: {each.answered} of {each.requests} were answered")
    return found
