"""Portkey's gateway from npm: no cache, no limits, no ledger, and no streams in its published build."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.contenders.contender import AbsentError, Contender, Place, Running
from bench.contenders.http_start import await_http
from bench.generator.window import Target
from bench.processes import running
from bench.servers import free_port

REQUIREMENT = "@portkey-ai/gateway@1.15.2"
_START_SECONDS = 30.0


@contextmanager
def _running(place: Place) -> Iterator[Running]:
    node, program, port = shutil.which("node"), _installed(), free_port()
    if node is None:
        raise AbsentError("Node is not installed")
    command = [node, str(program), "--headless", f"--port={port}"]
    with running(command, place.folder / "portkey.log", {"NODE_ENV": "production"}) as process:
        await_http(f"http://127.0.0.1:{port}/", process, _START_SECONDS)
        headers = {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://{place.upstream}/portkey/v1",
        }
        target = Target("openai", f"127.0.0.1:{port}", "/v1/chat/completions", ("none",), headers)
        yield Running("portkey", target, {"node": process.pid}, counted_as="portkey")


def _folder() -> Path:
    return Path(__file__).parents[1] / "out" / "peers" / "portkey"


def install() -> None:
    """Once; into bench/out."""
    npm = shutil.which("npm")
    if npm is not None and not _program().exists():
        _folder().mkdir(parents=True, exist_ok=True)
        subprocess.run([npm, "install", "--no-audit", "--no-fund", REQUIREMENT], cwd=_folder(), check=True)


def _program() -> Path:
    return _folder() / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"


def _installed() -> Path:
    if not _program().exists():
        raise AbsentError("not installed: `python -m bench install-peers`")
    return _program()


_NO_STREAM = "its published build answers 500 to streams"
PORTKEY = Contender("portkey", _running, {"stream": _NO_STREAM, "paced": _NO_STREAM, "hit": "has no cache"})
