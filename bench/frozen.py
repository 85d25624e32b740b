"""What callers see while a peer, or the store behind it, hangs: each is stopped under load, and goes on after a while."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench import procfs
from bench.contenders.contender import Running
from bench.generator.client import WrongAnswerError
from bench.generator.grpc_clients import HeadgateClient
from bench.generator.questions import question
from bench.generator.window import Window
from bench.lab import Lab, Member
from bench.rounds import percentile
from cli import local_http

FROZEN = ("ratelimit", "cache", "billing", "redis", "postgresql")
RATE = 50
SECONDS = 20.0
MOST_TIMES_THE_USUAL = 2.0
LONGEST_RECOVERY_MS = 2000.0
USUAL_SECONDS = 5.0
_AFTER_SECONDS = 3.0
_POLL_SECONDS = 0.02
_SCRAPE_SECONDS = 10.0
PATIENCE_SECONDS = 30.0
"""After these a peer that went on counts as lost for good."""
_WINDOW = Window(streamed=False, concurrency=1, seconds=0.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it began, by the monotonic clock, and what it took, in seconds."""

    began: float
    seconds: float
    error: str = ""


@dataclass(slots=True)
class Load:
    """Requests at an even rate, whatever becomes of those before: who waits for answers would spare a gateway that hangs."""

    client: HeadgateClient
    key: str
    first: int
    samples: list[Sample] = field(default_factory=list)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, seconds: float) -> None:
        begin, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < seconds:
            while sent < passed * RATE:
                self._send()
                sent += 1
            await asyncio.sleep(1 / RATE / 2)

    async def end(self) -> None:
        await asyncio.gather(*self._under_way)

    def _send(self) -> None:
        number, self.first = self.first, self.first + 1
        task = asyncio.get_running_loop().create_task(self._ask(question(_WINDOW, number).prompt))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _ask(self, prompt: str) -> None:
        began, error = time.monotonic(), ""
        try:
            answer = await self.client.ask(prompt, self.key, _WINDOW)
            if not self.client.is_right(answer, prompt, _WINDOW):
                error = "another answer than the upstream's"
        except WrongAnswerError as wrong:
            error = str(wrong)
        self.samples.append(Sample(began, time.monotonic() - began, error))


@dataclass(frozen=True, slots=True)
class Freeze:
    """What callers saw of one. Times in milliseconds; `p50_ms` is of what began after the first second."""

    name: str
    requests: int
    errors: Sequence[str]
    usual_p50_ms: float
    worst_first_second_ms: float
    p50_ms: float
    p99_ms: float
    recovery_ms: float
    """From SIGCONT until the router asks all its peers again."""

    @property
    def ratio(self) -> float:
        return self.p50_ms / self.usual_p50_ms


def freeze_each(
    lab: Lab,
    contender: str,
    names: Sequence[str],
    seconds: float,
    tell: Callable[[str], None],
    *,
    usual_seconds: float = USUAL_SECONDS,
) -> list[Freeze]:
    """Each is stopped for `seconds`, after as many of load in which what is usual is measured."""
    member, frozen = lab.members[contender], []
    for name in names:
        tell(f"{name} is stopped for {seconds:g} s")
        frozen.append(asyncio.run(_freeze(member, name, usual_seconds, seconds, lab.new_numbers())))
        member.sent.requests += frozen[-1].requests - len(frozen[-1].errors)
    return frozen


async def _freeze(member: Member, name: str, usual_seconds: float, seconds: float, first: int) -> Freeze:
    running = member.running
    client = HeadgateClient(running.target.address, running.target.connections)
    load = Load(client, running.target.keys[0], first)
    await load.run(usual_seconds)
    stopped_at = time.monotonic()
    _signal(running, name, signal.SIGSTOP)
    try:
        await load.run(seconds)
    finally:
        continued_at = time.monotonic()
        _signal(running, name, signal.SIGCONT)
    recovering = asyncio.create_task(asyncio.to_thread(_recovered, running))
    await load.run(_AFTER_SECONDS)
    recovered_at = await recovering
    await load.end()
    await client.close()
    usual = _taken_us(load.samples, 0.0, stopped_at)
    during = _taken_us(load.samples, stopped_at + 1.0, continued_at)
    return Freeze(
        name,
        len(load.samples),
        [sample.error for sample in load.samples if sample.error],
        percentile(usual, 0.5) / 1e3,
        max(_taken_us(load.samples, stopped_at, stopped_at + 1.0), default=0) / 1e3,
        percentile(during, 0.5) / 1e3,
        percentile(during, 0.99) / 1e3,
        (recovered_at - continued_at) * 1e3,
    )


def _taken_us(samples: Sequence[Sample], since: float, until: float) -> list[int]:
    return sorted(round(sample.seconds * 1e6) for sample in samples if since <= sample.began < until)


def _signal(running: Running, name: str, number: signal.Signals) -> None:
    """To the whole process tree: PostgreSQL has a process for each connection."""
    for pid in procfs.tree(running.services[name]):
        os.kill(pid, number)


def _recovered(running: Running) -> float:
    """When it was; waits for it, in a thread of its own."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not _asks_all(running) and time.monotonic() < ends:
        time.sleep(_POLL_SECONDS)
    return time.monotonic()


def _asks_all(running: Running) -> bool:
    """Whether the router's breakers are closed, as its metrics say."""
    assert running.access is not None  # noqa: S101 - a Headgate has one
    endpoint = f"http://{running.access.addresses.metrics['router']}/metrics"
    lines = local_http.fetch(endpoint, _SCRAPE_SECONDS).decode().splitlines()
    states = [line for line in lines if line.startswith("headgate_router_peer_state{")]
    return all(line.endswith(" 1.0") for line in states if 'state="closed"' in line)


def notes(frozen: Sequence[Freeze]) -> dict[str, float]:
    """Figures by what was measured."""
    return {
        f"{each.name}, {what}": value
        for each in frozen
        for what, value in (
            ("usual p50 ms", each.usual_p50_ms),
            ("worst of the first second ms", each.worst_first_second_ms),
            ("p50 after it ms", each.p50_ms),
            ("p99 after it ms", each.p99_ms),
            ("times the usual p50", each.ratio),
            ("recovered after ms", each.recovery_ms),
            ("requests", each.requests),
            ("errors", len(each.errors)),
        )
    }


def problems(frozen: Sequence[Freeze]) -> list[str]:
    """Where what was promised does not hold."""
    found = []
    for each in frozen:
        if each.ratio > MOST_TIMES_THE_USUAL:
            found.append(f"{each.name} stopped: p50 is {each.ratio:.1f} times the usual")
        if each.recovery_ms > LONGEST_RECOVERY_MS:
            found.append(f"{each.name} went on: asked again only after {each.recovery_ms:.0f} ms")
        found += sorted({f"{each.name} stopped: {error}" for error in each.errors})
    return found
