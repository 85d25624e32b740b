"""A router in a process of its own, whose peers are an in-process suite's."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.in_process import InProcessSuite

_START_SECONDS = 60.0
_END_SECONDS = 30.0


class RouterProcess:
    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self._process = process
        self.address = address

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """The exit code."""
        return await asyncio.wait_for(self._process.wait(), _END_SECONDS)


@asynccontextmanager
async def router_process(
    suite: InProcessSuite, data_dir: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[RouterProcess]:
    """Serves until the context ends, or until it is killed before."""
    port_file = _fresh(data_dir)
    peers = {
        f"HEADGATE_ROUTER_{name.upper()}_ADDRESS": service.address
        for name, service in suite.services.items()
        if name != "router"
    }
    variables = {
        "HEADGATE_CONFIG": str(suite.data_dir / "headgate.json"),
        "HEADGATE_DATA_DIR": str(data_dir),
        "HEADGATE_ROUTER_LISTEN": "127.0.0.1:0",
        "HEADGATE_ROUTER_METRICS_LISTEN": "off",
        "HEADGATE_ROUTER_PORT_FILE": str(port_file),
        "HEADGATE_ROUTER_LAME_DUCK_SECONDS": "0",
        "HEADGATE_ROUTER_DRAIN_SECONDS": "10",
        "HEADGATE_ROUTER_PEER_TIMEOUT_SECONDS": "10",
        "HEADGATE_ROUTER_PEER_TIMEOUT_FLOOR_SECONDS": "10",
    }
    with (data_dir / "router.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.router",
            env={**os.environ, **variables, **peers, **(environ or {})},
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not port_file.exists():
                assert process.returncode is None, (data_dir / "router.log").read_text()
                await asyncio.sleep(0.02)
        yield RouterProcess(process, port_file.read_text().strip())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _fresh(data_dir: Path) -> Path:
    """Where the process will write its address; an earlier one's is gone."""
    data_dir.mkdir(parents=True, exist_ok=True)
    port_file = data_dir / "port"
    port_file.unlink(missing_ok=True)
    return port_file
