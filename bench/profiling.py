"""Where the CPU of each service goes while a scenario runs, by py-spy."""

import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from msgspec.structs import replace

from bench.generator.window import Window
from bench.lab import Lab

_RATE = 200
_LINES = 20
_PLUMBING = ("asyncio/", "<frozen ", "threading.py", "<module>", "_runtime/process/run.py")
"""What everything stands in, and says nothing when it is counted with what it calls."""


_PARTS = {
    "calls to peers": (
        "services/_runtime/calling/batching",
        "services/_runtime/calling/exchange",
        "grpc_peers",
        "grpc/aio/_call",
    ),
    "model server: HTTP and parsing": ("providers/", "aiohttp/"),
    "the rest of the pump": ("Pipeline._pump",),
    "inbound calls and their writes": ("_runtime/interceptors", "_runtime/boundary", "router/servicer"),
}
"""Of the router, by what a stack holds; the first that fits."""
_REST = "event loop and gRPC core"
_THREADS = ("threading.py", "concurrent/futures")


def profile(lab: Lab, name: str, window: Window, seconds: int, folder: Path) -> str:
    """The top functions of each process, as text."""
    member = lab.members[name]
    lab.warm(name, window)
    loading = threading.Thread(target=lab.send, args=(member, replace(window, seconds=seconds + 3.0)))
    loading.start()
    recorders = {
        service: _record(pid, folder / f"{service}.collapsed", seconds)
        for service, pid in member.running.services.items()
    }
    for recorder in recorders.values():
        recorder.wait()
    loading.join()
    stacks = {service: (folder / f"{service}.collapsed").read_text(encoding="utf-8") for service in recorders}
    return "\n\n".join([_parts(stacks["router"]), *(_summary(*each) for each in stacks.items())])


def _parts(collapsed: str) -> str:
    """What the router's event loop does, in shares of its samples."""
    parts: Counter[str] = Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        if not any(thread in stack for thread in _THREADS):
            parts[_part(stack)] += int(count)
    total = parts.total() or 1
    return "\n".join(
        ["router's loop", *(f"  {parts[name] / total:4.0%}  {name}" for name in [*_PARTS, _REST])]
    )


def _part(stack: str) -> str:
    return next((name for name, signs in _PARTS.items() if any(sign in stack for sign in signs)), _REST)


def _record(pid: int, path: Path, seconds: int) -> "subprocess.Popen[bytes]":
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.exists() else shutil.which("py-spy") or "py-spy"
    options = ["-p", str(pid), "-d", str(seconds), "-r", str(_RATE), "-f", "raw", "-F", "-o", str(path)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([program, "record", *options], stdin=quiet, stdout=quiet, stderr=quiet)


def _summary(service: str, collapsed: str) -> str:
    own: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        telling = {frame for frame in frames if not any(part in frame for part in _PLUMBING)}
        inclusive.update(dict.fromkeys(telling, int(count)))
    total = sum(own.values()) or 1
    parts = [f"{service}: {total} samples"]
    for title, counts in (("self", own), ("inclusive", inclusive)):
        parts += [
            f"  {title}",
            *(f"    {count / total:6.1%}  {frame}" for frame, count in counts.most_common(_LINES)),
        ]
    return "\n".join(parts)
