"""What a good caller waits while another sends 300 wrong API keys at a time, and how soon one that is new gets in."""

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from bench.contenders.contender import Access, Running
from bench.hostile import MODEL, Neighbour
from bench.rounds import percentile
from bench.seeds import add_keys
from bench.wrong_key_sender import AT_ONCE, send
from headgate.router.v1 import router_service_pb2, router_service_pb2_grpc
from services._runtime.direct import open_cleartext
from services._runtime.key_form import key_id_of

SECONDS = 20.0
NEWCOMERS = 4
ENTER_EVERY_SECONDS = 1.0
MOST_TIMES_THE_USUAL = 2.0
LONGEST_ENTRY_SECONDS = 10.0
_REQUEST = router_service_pb2.CountTokensRequest(model=MODEL, prompt="Hello")


@dataclass(frozen=True, slots=True)
class Waits:
    """Of the good caller, in milliseconds."""

    p50: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Flood:
    """Of one kind of wrong key."""

    name: str
    refused: Counter[str]
    seconds: float
    usual: Waits
    meanwhile: Waits
    longest_entry_seconds: float
    """What it took a good key that the router had not seen, from the same address, with all its retries."""


def flood_each(running: Running, tell: Callable[[str], None]) -> list[Flood]:
    mine, access = running.target.keys[1], running.access
    if access is None:
        raise TypeError(f"{running.name} is no Headgate")
    found = []
    for name, key_id in (("of many key ids", ""), ("of the good caller's key id", key_id_of(mine))):
        tell(f"{AT_ONCE} wrong keys at once, {name}")
        found.append(_flood(running, access, name, key_id))
    return found


def _flood(running: Running, access: Access, name: str, key_id: str) -> Flood:
    target = running.target.address
    newcomers = add_keys(access, NEWCOMERS, "newcomers")
    neighbour = Neighbour(target, running.target.keys[1])
    thread = threading.Thread(target=neighbour.run)
    thread.start()
    time.sleep(SECONDS)
    usual = sorted(neighbour.waits_us)
    with _sending(target, key_id) as answers:
        began, neighbour.waits_us = answers.get(), []
        entries = tuple(_enter_later(target, key) for key in newcomers)
        refused: Counter[str] = answers.get()
        waits, seconds = sorted(neighbour.waits_us), time.monotonic() - began
    neighbour.is_done = True
    thread.join()
    return Flood(name, refused, seconds, _waits(usual), _waits(waits), max(entries))


@contextmanager
def _sending(target: str, key_id: str) -> Iterator["multiprocessing.Queue[Any]"]:
    """What the sender tells."""
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    sender = spawn.Process(target=send, args=(_REQUEST, target, key_id, SECONDS, answers.put))
    sender.start()
    yield answers
    sender.join()


def _waits(sorted_us: list[int]) -> Waits:
    return Waits(percentile(sorted_us, 0.5) / 1e3, percentile(sorted_us, 0.99) / 1e3, sorted_us[-1] / 1e3)


def _enter_later(target: str, key: str) -> float:
    time.sleep(ENTER_EVERY_SECONDS)
    began = time.monotonic()
    with open_cleartext(target) as channel:
        router = router_service_pb2_grpc.RouterServiceStub(channel)
        while True:
            try:
                router.CountTokens(_REQUEST, metadata=(("authorization", f"Bearer {key}"),), timeout=60)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                time.sleep(1.0)
            else:
                return time.monotonic() - began


def notes(floods: list[Flood]) -> dict[str, float]:
    """Figures by what was measured."""
    return {
        f"{each.name}, {what}": value
        for each in floods
        for what, value in (
            ("refused a second", each.refused.total() / each.seconds),
            *((f"{code} in all", number) for code, number in each.refused.items()),
            ("usual p50 ms", each.usual.p50),
            ("usual p99 ms", each.usual.p99),
            ("p50 ms", each.meanwhile.p50),
            ("p99 ms", each.meanwhile.p99),
            ("worst ms", each.meanwhile.worst),
            ("longest entry of a new key s", each.longest_entry_seconds),
        )
    }


def problems(floods: list[Flood]) -> list[str]:
    """Where what was promised does not hold."""
    found = []
    for each in floods:
        if each.meanwhile.p99 > MOST_TIMES_THE_USUAL * each.usual.p99:
            found.append(f"{each.name}: p99 {each.meanwhile.p99:.1f} ms, usually {each.usual.p99:.1f} ms")
        if each.longest_entry_seconds > LONGEST_ENTRY_SECONDS:
            found.append(f"{each.name}: a new key got in after {each.longest_entry_seconds:.0f} s")
        if each.refused["OK"]:
            found.append(f"{each.name}: {each.refused['OK']} were let in")
    return found
