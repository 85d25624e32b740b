"""What a good caller waits while another sends 300 wrong API keys at a time, and what a known key endures while billing is down."""

import asyncio
import multiprocessing
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from bench.contenders.contender import Access, Running
from bench.hostile import MODEL, Neighbour
from bench.rounds import percentile
from bench.seeds import add_keys
from headgate.common.v1 import caller_pb2
from headgate.router.v1 import router_service_pb2, router_service_pb2_grpc
from services._runtime.direct import open_cleartext, open_cleartext_aio
from services._runtime.errors import GatewayError, PeerUnavailableError
from services._runtime.key_form import checksum, key_id_of
from services._runtime.rpc.authentication import AddressNeededError
from services._runtime.telemetry.logs import get_logger
from services.router.accounts.authentication import KeyAuthentication
from services.router.accounts.wrong_keys import WrongKeys
from services.router.peers import Principal

AT_ONCE = 300
SECONDS = 20.0
NEWCOMERS = 4
ENTER_EVERY_SECONDS = 1.0
WHILE_DOWN = 200_000
MOST_TIMES_THE_USUAL = 2.0
LONGEST_ENTRY_SECONDS = 10.0
_CHANNELS = 4
_REQUEST = router_service_pb2.CountTokensRequest(model=MODEL, prompt="Hello")


@dataclass(frozen=True, slots=True)
class Flood:
    """Of one kind of wrong key. Waits of the good caller in milliseconds."""

    name: str
    refused: Counter[str]
    seconds: float
    usual_p50_ms: float
    usual_p99_ms: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    entries_seconds: tuple[float, ...]
    """What it took a good key that the router had not seen, from the same address, with all its retries."""


def wrong_key(key_id: str = "") -> str:
    text = f"hg_{key_id or secrets.token_hex(8)}_{secrets.token_hex(20)}"
    return text + checksum(text)


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
    usual, neighbour.waits_us = sorted(neighbour.waits_us), []
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    sender = spawn.Process(target=_send, args=(target, key_id, SECONDS, answers))
    sender.start()
    began = answers.get()
    neighbour.waits_us = []
    entries = tuple(_enter_later(target, key) for key in newcomers)
    refused = answers.get()
    waits = sorted(neighbour.waits_us)
    seconds = time.monotonic() - began
    neighbour.is_done = True
    thread.join()
    sender.join()
    half, most = 0.5, 0.99
    return Flood(
        name,
        refused,
        seconds,
        percentile(usual, half) / 1e3,
        percentile(usual, most) / 1e3,
        percentile(waits, half) / 1e3,
        percentile(waits, most) / 1e3,
        waits[-1] / 1e3,
        entries,
    )


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


def _send(target: str, key_id: str, seconds: float, answers: "multiprocessing.Queue[object]") -> None:
    asyncio.run(_send_all(target, key_id, seconds, answers))


async def _send_all(
    target: str, key_id: str, seconds: float, answers: "multiprocessing.Queue[object]"
) -> None:
    """As many at a time as AT_ONCE: another one as soon as one was refused."""
    channels = [open_cleartext_aio(target, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(_CHANNELS)]
    routers = [router_service_pb2_grpc.RouterServiceStub(channel) for channel in channels]
    counted: Counter[str] = Counter()
    began = time.monotonic()
    answers.put(began)

    async def ask(number: int) -> None:
        router = routers[number % _CHANNELS]
        while time.monotonic() - began < seconds:
            metadata = (("authorization", f"Bearer {wrong_key(key_id)}"),)
            try:
                await router.CountTokens(_REQUEST, metadata=metadata, timeout=60)
                counted["OK"] += 1
            except grpc.aio.AioRpcError as error:
                counted[error.code().name] += 1

    await asyncio.gather(*(ask(number) for number in range(AT_ONCE)))
    answers.put(counted)
    await asyncio.gather(*(channel.close() for channel in channels))


class _Lost:
    """Billing that knew one key, and is down."""

    is_down = False

    async def resolve(self, _token: str) -> Principal:
        if self.is_down:
            raise PeerUnavailableError("down")
        return Principal(caller_pb2.Caller(organization_id="acme"), has_hard_budget=False)


async def endure(count: int) -> tuple[int, float]:
    """How many of so many wrong keys a known one outlived while billing was down, and the seconds that it took."""
    accounts, good = _Lost(), wrong_key()
    clock = [0.0]
    authentication = KeyAuthentication(
        accounts,
        WrongKeys(lambda _kind: None, get_logger(), lambda: clock[0]),
        lambda: clock[0],
        time.time_ns,
        fresh_seconds=5.0,
        stale_seconds=600.0,
    )
    await _ask(authentication, good)
    accounts.is_down, clock[0], began = True, 6.0, time.monotonic()
    for number in range(count):
        try:
            await _ask(authentication, wrong_key())
        except GatewayError:
            if number % 1_000 == 0:
                await _ask(authentication, good)
    await _ask(authentication, good)
    return count, time.monotonic() - began


async def _ask(authentication: KeyAuthentication, key: str) -> None:
    try:
        await authentication({"authorization": f"Bearer {key}"})
    except AddressNeededError as needed:
        await needed.ask("10.0.0.7")


def notes(floods: list[Flood]) -> dict[str, float]:
    """Figures by what was measured."""
    return {
        f"{each.name}, {what}": value
        for each in floods
        for what, value in (
            ("refused a second", each.refused.total() / each.seconds),
            *((f"{code} in all", number) for code, number in each.refused.items()),
            ("usual p50 ms", each.usual_p50_ms),
            ("usual p99 ms", each.usual_p99_ms),
            ("p50 ms", each.p50_ms),
            ("p99 ms", each.p99_ms),
            ("worst ms", each.worst_ms),
            ("longest entry of a new key s", max(each.entries_seconds)),
        )
    }


def problems(floods: list[Flood]) -> list[str]:
    """Where what was promised does not hold."""
    found = []
    for each in floods:
        if each.p99_ms > MOST_TIMES_THE_USUAL * each.usual_p99_ms:
            found.append(f"{each.name}: p99 {each.p99_ms:.1f} ms, usually {each.usual_p99_ms:.1f} ms")
        if max(each.entries_seconds) > LONGEST_ENTRY_SECONDS:
            found.append(f"{each.name}: a new key got in after {max(each.entries_seconds):.0f} s")
        if each.refused["OK"]:
            found.append(f"{each.name}: {each.refused['OK']} were let in")
    return found
