"""Instructions per call of a bare gRPC server, or of the router, by Valgrind: a busy machine changes them by a hundredth.

The bare server is counted with gRPC's own way to take calls, and with that of Headgate's services (`_runtime/rpc/accepting.py`).
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from msgspec.structs import replace

from bench.callgrind import Counting, under_callgrind
from bench.comparison import Tell
from bench.contenders.checkout import AGAINST, checkout
from bench.contenders.contender import AbsentError
from bench.floor import ACCEPTING
from bench.generator.window import Seen, Target, Window
from bench.lab import Lab
from bench.load import LoadGenerator
from bench.processes import await_line, running
from bench.scenarios import BY_NAME

_ROOT = Path(__file__).parents[1]
_WINDOWS = 3
_CALLS = {"unary-miss": 400, "stream": 100}
"""By scenario, in each window."""
_WARMING_CALLS = 192
_IN_FLIGHT_IN_A_ROUTER = 16
"""So slowed down, it would not hear from its peers in time with more."""
_STARTING_SECONDS = 120.0
_SECONDS = 600.0


class WrongAnswersError(Exception):
    """What was counted is not what was asked for; the message has the first."""


def of_floor(interpreter: Path, folder: Path, tell: Tell) -> dict[str, float]:
    """Thousands a call, by what was counted. The interpreter needs nothing but grpcio.

    :raises AbsentError: Valgrind is not installed
    :raises WrongAnswersError: a call failed
    """
    found: dict[str, float] = {}
    for how, options in (("gRPC's own", []), ("accepting.py", [ACCEPTING])):
        tell(f"floor, {how}: {interpreter}")
        with _floor(interpreter, folder, options) as (counting, load):
            counting.begin()
            for name in _CALLS:
                found[f"{_release(interpreter)}, {how}: {name}"] = _per_call(counting, load, name)
    return found


def of_router(root: Path, folder: Path, tell: Tell) -> dict[str, float]:
    """Thousands a request of a checkout's router, whose peers run as ever.

    :raises AbsentError: Valgrind or the checkout's .venv is not there
    :raises WrongAnswersError: a request failed
    """
    tell(f"router: {root}")
    others = ("services.cache", "services.ratelimit", "services.billing")
    with Lab.open([checkout(root, under_callgrind(folder, others))], folder) as lab:
        if AGAINST in lab.absent:
            raise AbsentError(lab.absent[AGAINST])
        member = lab.members[AGAINST]
        counting = Counting(member.running.services["router"], folder)
        counting.begin()

        def send(window: Window) -> Seen:
            return lab.send(member, replace(window, concurrency=_IN_FLIGHT_IN_A_ROUTER))

        release = _release(root / ".venv" / "bin" / "python")
        return {f"{root.name}, {release}, router: {name}": _per_call(counting, send, name) for name in _CALLS}


def _per_call(counting: Counting, send: Callable[[Window], Seen], scenario: str) -> float:
    """In thousands; the median of some windows, once the interpreter knows the way."""
    window = replace(BY_NAME[scenario].window, seconds=_SECONDS, requests=_CALLS[scenario])
    _sent(send, replace(window, requests=_WARMING_CALLS))
    counts = [counting.count(lambda: _sent(send, window)) for _ in range(_WINDOWS)]
    return median(counts) / window.requests / 1000


def _sent(send: Callable[[Window], Seen], window: Window) -> None:
    seen = send(window)
    if seen.errors:
        raise WrongAnswersError(f"{seen.errors} errors, the first: {seen.first_error}")


@contextmanager
def _floor(
    interpreter: Path, folder: Path, options: Sequence[str]
) -> Iterator[tuple[Counting, Callable[[Window], Seen]]]:
    log = folder / "floor.log"
    command = [*under_callgrind(folder), str(interpreter), "-m", "bench.floor", *options]
    with running(command, log, folder=_ROOT) as process:
        address = await_line(process, log, "ready ", _STARTING_SECONDS).split()[1]
        with LoadGenerator.running(Target("floor", address)) as load:
            yield Counting(process.pid, folder), load.run


def _release(interpreter: Path) -> str:
    program = "import grpc, platform; print(f'grpcio {grpc.__version__} on {platform.python_version()}')"
    done = subprocess.run([interpreter, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.strip()
