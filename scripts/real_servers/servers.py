"""The servers: how each is installed, and started."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request

from cli import local_http

ROOT = Path(__file__).resolve().parents[2]
TINY_MODEL = Path(__file__).with_name("tiny_model.py")
_START_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Server:
    """`command` starts it, with `{python}`, `{port}` and `{folder}`; `model` is what it is asked for."""

    packages: tuple[str, ...]
    version_of: str
    model: str
    command: tuple[str, ...]
    write: str = ""
    declared: Mapping[str, Any] = field(default_factory=dict)


SERVERS = {
    "llama-cpp": Server(
        ("llama-cpp-python[server]", "gguf"),
        "llama-cpp-python",
        "tiny",
        (
            "{python}",
            "-m",
            "llama_cpp.server",
            "--model",
            "{folder}/model",
            "--model_alias",
            "tiny",
            "--port",
            "{port}",
        ),
        "gguf",
        {"max_tokens_field": "max_tokens", "token_counter": "llama_cpp_python"},
    ),
    "litellm": Server(
        ("litellm[proxy]",),
        "litellm",
        "tiny",
        ("{bin}/litellm", "--config", "{folder}/litellm.yaml", "--port", "{port}", "--host", "127.0.0.1"),
    ),
    "transformers": Server(
        ("transformers[serving]", "torch", "accelerate"),
        "transformers",
        "{folder}/model",
        ("{bin}/transformers", "serve", "--host", "127.0.0.1", "--port", "{port}"),
        "transformers",
        {"max_tokens_field": "max_tokens"},
    ),
}


def installed(name: str, server: Server) -> Path:
    """Its interpreter; the packages come through pip, as the machine is set up for it."""
    folder = ROOT / ".venv/.real" / name
    python = folder / "bin/python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *server.packages], check=True)
        (folder / "installed").touch()
    return python


@contextmanager
def simulating(folder: str) -> Iterator[None]:
    """The simulator, which LiteLLM stands before."""
    port = free_port()
    Path(folder, "litellm.yaml").write_text(
        "model_list:\n  - model_name: tiny\n    litellm_params:\n"
        f"      {{model: openai/sim-small, api_base: 'http://127.0.0.1:{port}/v1', api_key: none}}\n"
        # Of this machine alone, and for minutes.
        "general_settings: {dangerously_permit_weak_or_unset_master_key: true}\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "simulator", "--listen", f"127.0.0.1:{port}"]
    with running(command, folder) as process:
        awaited(f"http://127.0.0.1:{port}/control/health", process, folder)
        yield


@contextmanager
def started(server: Server, python: Path, folder: str) -> Iterator[str]:
    port = free_port()
    values = {"python": str(python), "bin": str(python.parent), "port": str(port), "folder": folder}
    with running([each.format(**values) for each in server.command], folder) as process:
        awaited(f"http://127.0.0.1:{port}/v1/models", process, folder)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def running(command: list[str], folder: str) -> Iterator[subprocess.Popen[bytes]]:
    environ = os.environ | {"HF_HUB_OFFLINE": "1"}
    with Path(folder, "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def awaited(url: str, process: subprocess.Popen[bytes], folder: str) -> None:
    """Until it answers anything.

    :raises SystemExit: it ended, or took too long; with the end of its log
    """
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            local_http.fetch(Request(url), 5)  # noqa: S310 - of this machine
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"{url} does not answer:\n{Path(folder, 'log').read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
