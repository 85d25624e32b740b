"""What is booked while processes are killed at random: `python scripts/kills.py --minutes 5 [--billing-store URL]`.

Streams run through the services as `headgate up` starts them, and every few seconds one of the services, mostly the router, is
killed (SIGKILL) and started again. In the end the ledger is compared with the simulator's own log of what it served.
"""

import argparse
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request

import grpc

from cli import local_http
from cli.installation import Addresses
from cli.suite.first_key import ensure_key
from cli.suite.signals import StopSignals
from cli.suite.suite import Suite, SuiteOptions
from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.router.v1 import completion_pb2
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from services._runtime.direct import open_cleartext

GAP_SECONDS = 0.02
INTERVAL_SECONDS = 1.0
"""Of the router's checkpoints."""
SLACK_SECONDS = 0.5
"""Until a busy router looks, and the simulator hears that it is gone."""
_STREAMS = 24
_VICTIMS = ["router", "router", "router", "billing", "ratelimit", "cache"]
_SETTLE_SECONDS = 90.0
_CONFIG = """
router:
  providers: {sim: {api: openai, base_url: "http://127.0.0.1:8089/v1"}}
  targets: {paced: {provider: sim, model: "sim-small@tokens=200,gap=20ms"}}
  models: {paced: {targets: [paced]}}
billing:
  prices:
    - {provider: sim, model: "sim-small@tokens=200,gap=20ms", tiers: [{input: "3", output: "15"}]}
"""


@dataclass(slots=True)
class Load:
    """Streams, one after another in each of several threads, whatever becomes of them."""

    address: str
    key: str
    is_over: threading.Event = field(default_factory=threading.Event)
    begun: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    ended: int = 0

    def run(self) -> None:
        metadata = (("authorization", f"Bearer {self.key}"),)
        with open_cleartext(self.address, [("grpc.initial_reconnect_backoff_ms", 100)]) as channel:
            router = RouterServiceStub(channel)
            while not self.is_over.is_set():
                request = completion_pb2.CompletionRequest(
                    model="paced", prompt=f"Number {next(self.begun)}", max_output_tokens=200
                )
                try:
                    for _ in router.StreamComplete(request, metadata=metadata, timeout=60):
                        pass
                    self.ended += 1
                except grpc.RpcError:
                    time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--billing-store", default="", help="a PostgreSQL URL; absent: SQLite")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    environ = dict(os.environ)
    if asked.billing_store:
        environ |= {"HEADGATE_BILLING_STORE": asked.billing_store, "HEADGATE_BILLING_KEY_PEPPER": "k" * 32}
    with tempfile.TemporaryDirectory(prefix="headgate-kills-") as folder:
        config = Path(folder) / "kills.yaml"
        config.write_text(_CONFIG, encoding="utf-8")
        options = SuiteOptions(Path(folder), config, simulator=True, free_ports=True)
        with StopSignals(interrupting=True) as signals, Suite(options, environ, signals) as suite:
            addresses = suite.start()
            token = suite.installation.internal_token({})
            key = ensure_key(suite.installation, addresses)
            set_budget(addresses, token)
            load = Load(addresses.grpc["router"], key)
            threads = [threading.Thread(target=load.run) for _ in range(_STREAMS)]
            for thread in threads:
                thread.start()
            kills = kill_at_random(suite, asked.minutes * 60, random.Random(asked.seed))  # noqa: S311 - a choice of victims
            load.is_over.set()
            for thread in threads:
                while thread.is_alive():
                    suite.revive(time.monotonic(), 0.2)
                    thread.join(0.1)
            held = await_no_hold(suite, addresses, token)
            return told(addresses, token, kills=kills, ended=load.ended, held=held)


def set_budget(addresses: Addresses, token: str) -> None:
    """A hard one: what stays held would be seen."""
    budget = budget_pb2.Budget(
        budget_id="kills",
        organization_id="default",
        limit_nanos=10**15,
        period=budget_pb2.BUDGET_PERIOD_TOTAL,
    )
    with open_cleartext(addresses.grpc["billing"], []) as channel:
        BillingServiceStub(channel).SetBudget(
            billing.SetBudgetRequest(budget=budget), metadata=_internal(token), timeout=10
        )


def kill_at_random(suite: Suite, seconds: float, chosen: random.Random) -> int:
    kills, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        pause = time.monotonic() + chosen.uniform(1.0, 5.0)
        while time.monotonic() < pause:
            suite.revive(time.monotonic(), 0.2)
            time.sleep(0.05)
        child = suite.children[chosen.choice(_VICTIMS)]
        if child.exit_code is None:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
    return kills


def await_no_hold(suite: Suite, addresses: Addresses, token: str) -> int:
    """How many are left in the end."""
    held, until = -1, time.monotonic() + _SETTLE_SECONDS
    with open_cleartext(addresses.grpc["billing"], [("grpc.initial_reconnect_backoff_ms", 100)]) as channel:
        bank = BillingServiceStub(channel)
        while held and time.monotonic() < until:
            suite.revive(time.monotonic(), 0.2)
            time.sleep(0.5)
            try:
                page = bank.ListHolds(billing.ListHoldsRequest(), metadata=_internal(token), timeout=5)
            except grpc.RpcError:
                continue
            held = len(page.holds)
    return held


def told(addresses: Addresses, token: str, *, kills: int, ended: int, held: int) -> int:
    served = {
        record["request_id"]: record["output_tokens"]
        for record in served_by(addresses.simulator)
        if record["request_id"] and record["outcome"] != "refused"
    }
    booked = booked_in(addresses, token)
    lost = [tokens - booked.get(attempt, 0) for attempt, tokens in served.items()]
    most = round((INTERVAL_SECONDS + SLACK_SECONDS) / GAP_SECONDS)
    print(f"{kills} kills; {len(served)} attempts served, {ended} streams ended well, {len(booked)} entries")
    print(
        f"tokens served {sum(served.values())}, not booked {sum(lost)}; of one stream at most {max(lost)}, at least {min(lost)}"
    )
    print(f"holds left {held}; entries of nothing that was served {len(booked.keys() - served.keys())}")
    wrong = [name for name, is_wrong in (
        ("more was booked than served", min(lost) < 0),
        (f"a stream lost more than {most} tokens", max(lost) > most),
        ("holds are left", held != 0),
        ("an entry is of nothing that was served", bool(booked.keys() - served.keys())),
    ) if is_wrong]  # fmt: skip
    print("true" if not wrong else f"NOT TRUE: {', '.join(wrong)}")
    return int(bool(wrong))


def served_by(simulator: str) -> Iterator[dict[str, Any]]:
    since = 0
    while True:
        page = json.loads(local_http.fetch(Request(f"{simulator}/control/served?since={since}"), 10))  # noqa: S310
        yield from page["served"]
        if not page["served"]:
            return
        since = page["next"]


def booked_in(addresses: Addresses, token: str) -> dict[str, int]:
    booked: dict[str, int] = {}
    page_token = ""
    with open_cleartext(addresses.grpc["billing"], []) as channel:
        bank = BillingServiceStub(channel)
        while True:
            request = billing.ListUsageRequest(page_size=1000, page_token=page_token)
            page = bank.ListUsage(request, metadata=_internal(token), timeout=30)
            booked |= {e.record.attempt_id: e.record.usage.output_tokens for e in page.entries}
            if not (page_token := page.next_page_token):
                return booked


def _internal(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


if __name__ == "__main__":
    sys.exit(main())
