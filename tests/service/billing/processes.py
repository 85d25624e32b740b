"""`python -m services.billing` as an operator starts it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 60.0


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    own = {f"HEADGATE_BILLING_{name}": value for name, value in variables.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
    quiet = {"HEADGATE_BILLING_METRICS_LISTEN": "127.0.0.1:0", "HEADGATE_BILLING_LAME_DUCK_SECONDS": "0"}
    path = {"PYTHONPATH": f"{ROOT}:{ROOT}/gen/python", "HEADGATE_DATA_DIR": str(data_dir)}
    unguarded = {"HEADGATE_ALLOW_NO_INTERNAL_TOKEN": "true"}
    return {**inherited, **quiet, **path, **unguarded, **own}


class Process:
    """A running billing process and the address that it serves."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        port_file = data_dir / "port"
        port_file.unlink(missing_ok=True)
        variables = {"LISTEN": "127.0.0.1:0", "PORT_FILE": str(port_file), **variables}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.billing"],
            env=environment(data_dir, **variables),
            stdout=subprocess.DEVNULL,
        )
        self.address = self._announced(port_file)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        self._process.terminate()
        return self._process.wait(START_SECONDS)

    def channel(self) -> grpc.Channel:
        channel = grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])
        grpc.channel_ready_future(channel).result(START_SECONDS)
        return channel

    def _announced(self, port_file: Path) -> str:
        deadline = time.monotonic() + START_SECONDS
        while not port_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail("the process did not serve")
            time.sleep(0.02)
        return port_file.read_text().strip()


@contextmanager
def running(data_dir: Path, **variables: str) -> Iterator[Process]:
    process = Process(data_dir, **variables)
    try:
        yield process
    finally:
        process.kill()
