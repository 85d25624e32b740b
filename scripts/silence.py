"""Clients that ping wait through a silence: `python scripts/silence.py --seconds 90`.

The model server says nothing for that long before its first token, and clients with different keepalives wait for it through
a router as `headgate up` starts it: Python's, which is gRPC's core, and grpcurl, which is grpc-go.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.request import Request

import grpc
from google.protobuf.json_format import MessageToJson

from cli import local_http
from cli.suite.configuration import demo_file
from cli.suite.first_key import ensure_key
from cli.suite.signals import StopSignals
from cli.suite.suite import Suite, SuiteOptions
from headgate.common.v1 import outcome_pb2
from headgate.router.v1 import completion_pb2, router_service_pb2_grpc
from services._runtime.direct import open_cleartext

_SLACK_SECONDS = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=90, help="how long the model server is silent")
    seconds = parser.parse_args().seconds
    with (
        tempfile.TemporaryDirectory(prefix="headgate-silence-") as folder,
        StopSignals(interrupting=True) as signals,
        Suite(patient(Path(folder), seconds), os.environ, signals) as suite,
    ):
        addresses = suite.start()
        key = ensure_key(suite.installation, addresses)
        be_silent(addresses.simulator, seconds)
        with ThreadPoolExecutor(len(CLIENTS)) as clients:
            asked = {
                name: clients.submit(wait, addresses.grpc["router"], key, seconds)
                for name, wait in CLIENTS.items()
            }
        outcomes = {name: each.result() for name, each in asked.items()}
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome}")
    return 0 if all(outcome.startswith("OUTCOME_COMPLETE") for outcome in outcomes.values()) else 1


def patient(folder: Path, seconds: int) -> SuiteOptions:
    """The demonstration's configuration, whose simulator is given so long for its first token."""
    text, provider = demo_file().read_text(encoding="utf-8"), "      api: openai\n"
    config = folder / "patient.yaml"
    longer = f"{provider}      first_token_timeout_seconds: {seconds + _SLACK_SECONDS}\n"
    config.write_text(text.replace(provider, longer), encoding="utf-8")
    return SuiteOptions(folder, config, simulator=True, free_ports=True)


def be_silent(simulator: str, seconds: int) -> None:
    body = json.dumps({"faults": {"ttft": f"{seconds}s"}, "count": None}).encode()
    request = Request(f"{simulator}/control/faults", body, {"Content-Type": "application/json"})  # noqa: S310
    local_http.fetch(request, 5)


def wait_with_core(every_seconds: int, address: str, key: str, silent_seconds: int) -> str:
    options = [
        ("grpc.keepalive_time_ms", every_seconds * 1000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    began, outcome = time.monotonic(), "no end"
    with open_cleartext(address, options) as channel:
        router = router_service_pb2_grpc.RouterServiceStub(channel)
        try:
            for event in router.StreamComplete(
                thought(silent_seconds),
                metadata=(("authorization", f"Bearer {key}"),),
                timeout=silent_seconds + _SLACK_SECONDS,
            ):
                if event.HasField("finished"):
                    outcome = outcome_pb2.Outcome.Name(event.finished.outcome)
        except grpc.RpcError as error:
            outcome = f"{error.code().name}: {error.details()}"
    return f"{outcome} after {time.monotonic() - began:.0f} s"


def wait_with_go(every_seconds: int, address: str, key: str, silent_seconds: int) -> str:
    if (grpcurl := shutil.which("grpcurl")) is None:
        return "not asked, grpcurl is not installed"
    command = [
        *(grpcurl, "-plaintext", "-keepalive-time", str(every_seconds)),
        *("-max-time", str(silent_seconds + _SLACK_SECONDS), "-H", f"authorization: Bearer {key}"),
        *("-d", MessageToJson(thought(silent_seconds))),
        *(address, "headgate.router.v1.RouterService/StreamComplete"),
    ]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ended = re.findall(r'"outcome": "(\w+)"', done.stdout)
    outcome = ended[-1] if ended and done.returncode == 0 else " ".join(done.stderr.split())
    return f"{outcome} after {time.monotonic() - began:.0f} s"


def thought(silent_seconds: int) -> completion_pb2.CompletionRequest:
    return completion_pb2.CompletionRequest(model="sim-small", prompt=f"Think for {silent_seconds} s.")


CLIENTS: Mapping[str, Callable[[str, str, int], str]] = {
    **{f"core pings every {every} s": partial(wait_with_core, every) for every in (5, 10, 20)},
    "grpc-go pings every 10 s": partial(wait_with_go, 10),
}
"""The most often that clients are set to in practice, the least of grpc-go, and what many proxies have."""


if __name__ == "__main__":
    sys.exit(main())
