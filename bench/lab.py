"""The place where contenders run side by side and windows are measured."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as replace_dataclass
from itertools import count
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bench import procfs
from bench.contenders.contender import AbsentError, Contender, Place, Running
from bench.generator.window import Seen, Window
from bench.ledger import Tally, Verdict
from bench.load import LoadGenerator
from bench.processes import serving
from bench.rounds import Round, percentile
from bench.scenarios import warming, with_keys
from bench.upstream import Count
from cli import local_http

_NUMBERS_OF_A_WINDOW = 100_000
_IDLE_CPU_SECONDS = 0.02
_IDLE_FOR_SECONDS = 0.15
_COUNT_SECONDS = 60.0
_LONGEST_SETTLING_SECONDS = 3.0


@dataclass(slots=True)
class Member:
    """A contender that runs, its load, and what it was sent so far."""

    running: Running
    lacks: Mapping[str, str]
    load: LoadGenerator
    sent: Tally = field(default_factory=Tally)


class Lab:
    """The upstream, and every contender that could be started."""

    def __init__(self, upstream_pid: int, upstream: str, ending: ExitStack) -> None:
        self.members: dict[str, Member] = {}
        self.absent: dict[str, str] = {}
        self.idle_bytes: dict[str, dict[str, int]] = {}
        """Resident memory of each process tree before the first request."""
        self._upstream_pid = upstream_pid
        self._upstream = upstream
        self._ending = ending
        self._windows = count(1)

    @classmethod
    @contextmanager
    def open(cls, contenders: Sequence[Contender], folder: Path, generators: int = 1) -> Iterator["Lab"]:
        with ExitStack() as ending:
            pid, address = ending.enter_context(serving("bench.upstream", folder / "upstream.log"))
            lab = cls(pid, address, ending)
            for contender in contenders:
                place = Place(folder / contender.name, address)
                place.folder.mkdir(parents=True, exist_ok=True)
                try:
                    running = ending.enter_context(contender.running(place))
                except AbsentError as error:
                    lab.absent[contender.name] = str(error)
                    continue
                load = ending.enter_context(LoadGenerator.running(running.target, generators))
                lab.members[contender.name] = Member(running, contender.lacks, load)
                lab.idle_bytes[contender.name] = {
                    name: procfs.resident_bytes(pid) for name, pid in running.services.items()
                }
            yield lab

    def retarget(self, name: str, keys: tuple[str, ...]) -> None:
        """From now on the load of a contender uses these keys."""
        member = self.members[name]
        member.running = replace_dataclass(member.running, target=replace(member.running.target, keys=keys))
        member.load = self._ending.enter_context(
            LoadGenerator.running(member.running.target, len(member.load.processes))
        )

    def warm(self, name: str, window: Window) -> Seen:
        return self.send(self.members[name], warming(window))

    def send(self, member: Member, window: Window) -> Seen:
        """Load that is not measured."""
        asked = with_keys(replace(window, first=self.new_numbers()), len(member.running.target.keys))
        seen = member.load.run(asked)
        member.sent.requests += seen.requests
        member.sent.cache_hits += seen.cache_hits
        return seen

    def new_numbers(self) -> int:
        """The first of a window's numbers, none of which was asked before."""
        return next(self._windows) * _NUMBERS_OF_A_WINDOW

    def round(self, name: str, window: Window) -> Round:
        member = self.members[name]
        spin = procfs.spin_ms()
        served, before = self._served(member).requests, _Reading.take(member, self._upstream_pid)
        seen = self.send(member, window)
        _await_idle(member)
        after = _Reading.take(member, self._upstream_pid)
        measured = _round(seen, before, after, member)
        measured.spin_ms = spin
        measured.upstream_requests = self._served(member).requests - served
        return measured

    def verdicts(self) -> list[Verdict]:
        """Of every contender that keeps books."""
        return [self._verdict(name) for name, member in self.members.items() if member.running.access]

    def _verdict(self, name: str) -> Verdict:
        member = self.members[name]
        access, served = member.running.access, self._served(member)
        assert access is not None  # noqa: S101 - asked of those that have one
        member.sent.input_tokens, member.sent.output_tokens = served.input_tokens, served.output_tokens
        return access.ledger.verdict(name, member.sent)

    def _served(self, member: Member) -> Count:
        """What the upstream counted."""
        body = local_http.fetch(f"http://{self._upstream}/counts", _COUNT_SECONDS)
        counts = msgspec.json.decode(body, type=dict[str, Count])
        return counts.get(member.running.counted_as, Count())


@dataclass(frozen=True, slots=True)
class _Reading:
    """All clocks at one moment."""

    machine: procfs.Machine
    services: Mapping[str, procfs.Cpu]
    processes: Mapping[int, procfs.Cpu]
    generator: procfs.Cpu
    upstream: procfs.Cpu
    everything: procfs.Cpu

    @classmethod
    def take(cls, member: Member, upstream: int) -> "_Reading":
        services, generators, me = member.running.services, member.load.pids, os.getpid()
        used = procfs.cpu([*services.values(), *generators, upstream, me])
        processes: dict[int, procfs.Cpu] = {}
        for root in services.values():
            processes |= procfs.cpu_of_each(root)
        return cls(
            procfs.machine(),
            {name: used[pid] for name, pid in services.items()},
            processes,
            sum((used[pid] for pid in generators), procfs.Cpu()),
            used[upstream],
            used[me],
        )


def _await_idle(member: Member) -> None:
    """What was answered is still being booked: the CPU of that belongs to the window."""
    pids = member.running.services.values()
    ends = time.monotonic() + _LONGEST_SETTLING_SECONDS
    used = sum(procfs.cpu(pids).values(), procfs.Cpu())
    while time.monotonic() < ends:
        time.sleep(_IDLE_FOR_SECONDS)
        before, used = used, sum(procfs.cpu(pids).values(), procfs.Cpu())
        if (used - before).total <= _IDLE_CPU_SECONDS:
            return


def _round(seen: Seen, before: _Reading, after: _Reading, member: Member) -> Round:
    elapsed = (after.machine.at - before.machine.at) * (os.cpu_count() or 1)
    foreign = (after.machine.busy - before.machine.busy) - (after.everything - before.everything).total
    spent = {name: after.services[name] - before.services[name] for name in member.running.services}
    each = [(cpu - before.processes.get(pid, procfs.Cpu())).total for pid, cpu in after.processes.items()]
    latencies, first_tokens = sorted(seen.latencies_us), sorted(seen.first_tokens_us)
    return Round(
        requests=seen.requests,
        seconds=seen.seconds,
        cpu={name: (cpu.user, cpu.system) for name, cpu in spent.items()},
        busiest_process=max(each, default=0.0),
        generator_cpu=(after.generator - before.generator).total,
        upstream_cpu=(after.upstream - before.upstream).total,
        foreign_share=max(0.0, foreign / elapsed),
        stolen_share=(after.machine.stolen - before.machine.stolen) / elapsed,
        p50_us=percentile(latencies, 0.5),
        p99_us=percentile(latencies, 0.99),
        first_token_p50_us=percentile(first_tokens, 0.5),
        first_token_p99_us=percentile(first_tokens, 0.99),
        longest_gap_us=seen.longest_gap_us,
        messages=seen.messages,
        cache_hits=seen.cache_hits,
        errors=seen.errors,
        first_error=seen.first_error,
    )
