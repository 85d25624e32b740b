"""What an internal hop costs by itself: calls that arrive at an even rate, batched to a bare peer that answers at once.

Unary calls against one long-lived stream, by pace and by the largest batch. CPU of both ends, in milliseconds per call.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc

from bench.floor import SERVICE
from bench.processes import await_line, python_module, running
from bench.procfs import cpu
from services._runtime.calling.batching import PacedBatcher
from services._runtime.calling.channel import open_channel
from services._runtime.calling.exchange import Exchange

CALLS_PER_SECOND = 1000
CALL_BYTES = 200
_SECONDS = 1.5
_TICK_SECONDS = 0.001
_TIMEOUT_SECONDS = 5.0
Send = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Hop:
    """How calls travel. `largest` batch of 1: each by itself."""

    transport: str
    pace_ms: int
    largest: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call: CPU of both ends, how long it took (median), and how many left together."""

    cpu_ms: float
    p50_ms: float
    batch: float


HOPS = (
    Hop("unary", 0, 1),
    *(Hop(transport, pace, 64) for pace in (0, 4, 10, 20) for transport in ("unary", "stream")),
    *(Hop("stream", 20, largest) for largest in (8, 16, 256)),
)


def measure(folder: Path, rounds: int, tell: Callable[[str], None]) -> dict[Hop, Cost]:
    """Each hop's median over rounds that are taken in turn."""
    log = folder / "hops.log"
    with running(python_module("bench.floor"), log) as peer:
        address = await_line(peer, log, "ready ").split()[1]
        taken: dict[Hop, list[Cost]] = {hop: [] for hop in HOPS}
        for number in range(1, rounds + 1):
            tell(f"hops, round {number} of {rounds}")
            for hop in HOPS:
                taken[hop].append(asyncio.run(_round(hop, address, peer.pid)))
    return {hop: _middle(costs) for hop, costs in taken.items()}


def notes(costs: Mapping[Hop, Cost]) -> dict[str, float]:
    """CPU by what was measured."""
    return {
        f"{hop.transport}, pace {hop.pace_ms} ms, at most {hop.largest} together "
        f"({cost.batch:.1f} were, p50 {cost.p50_ms:.1f} ms): CPU ms a call": cost.cpu_ms
        for hop, cost in costs.items()
    }


def _cpu_seconds(root: int) -> float:
    used = cpu([root])[root]
    return used.user + used.system


def _middle(costs: Sequence[Cost]) -> Cost:
    return Cost(
        median(each.cpu_ms for each in costs),
        median(each.p50_ms for each in costs),
        median(each.batch for each in costs),
    )


async def _round(hop: Hop, address: str, peer: int) -> Cost:
    channel = open_channel(address)
    sizes: list[int] = []
    batcher = _batcher(hop, _sender(hop, channel), sizes)
    await batcher.call(b"x" * CALL_BYTES)
    sizes.clear()
    began = time.process_time() + _cpu_seconds(peer)
    latencies = await _load(batcher)
    used = time.process_time() + _cpu_seconds(peer) - began
    await batcher.close()
    await channel.close()
    return Cost(used / len(latencies) * 1e3, median(latencies) * 1e3, sum(sizes) / len(sizes))


def _sender(hop: Hop, channel: grpc.aio.Channel) -> Send:
    if hop.transport == "stream":
        exchange = Exchange([channel.stream_stream(f"/{SERVICE}/Exchange")])
        return lambda sent: exchange(sent, timeout=_TIMEOUT_SECONDS)
    unary: Any = channel.unary_unary(f"/{SERVICE}/Echo")

    async def send(sent: bytes) -> bytes:
        answer: bytes = await unary(sent, timeout=_TIMEOUT_SECONDS)
        return answer

    return send


def _batcher(hop: Hop, send: Send, sizes: list[int]) -> PacedBatcher[bytes, bytes]:
    async def send_together(calls: list[bytes]) -> Sequence[bytes]:
        sizes.append(len(calls))
        answer = await send(b"".join(calls))
        return [answer[place : place + CALL_BYTES] for place in range(0, len(answer), CALL_BYTES)]

    return PacedBatcher(send_together, hop.largest, lambda: hop.pace_ms / 1e3)


async def _load(batcher: PacedBatcher[bytes, bytes]) -> list[float]:
    latencies: list[float] = []

    async def call() -> None:
        began = time.monotonic()
        await batcher.call(b"x" * CALL_BYTES)
        latencies.append(time.monotonic() - began)

    begin, tasks = time.monotonic(), set[asyncio.Task[None]]()
    while (passed := time.monotonic() - begin) < _SECONDS:
        for _ in range(int(passed * CALLS_PER_SECOND) - len(tasks)):
            tasks.add(asyncio.create_task(call()))
        await asyncio.sleep(_TICK_SECONDS)
    await asyncio.gather(*tasks)
    return latencies
