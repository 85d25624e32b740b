"""The Headgate of another checkout, on that checkout's own interpreter: what stands there beside what stands here."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import Popen

from bench.contenders.contender import AbsentError, Access, Contender, Place, Running
from bench.contenders.headgate import SECRET, Shape, everything_on, make_keys, write_config
from bench.generator.window import Target
from bench.ledger import Ledger
from bench.processes import DidNotStartError, running
from cli.client import connected
from cli.installation import SERVICES, Addresses, Installation

AGAINST = "against"
_READY_SECONDS = 120.0
_POLL_SECONDS = 0.05


def checkout(root: Path, under: Sequence[str] = ()) -> Contender:
    """`under`: what its command is begun with, such as a profiler."""
    return Contender(AGAINST, partial(_running, root.absolute(), under))


@contextmanager
def _running(root: Path, under: Sequence[str], place: Place) -> Iterator[Running]:
    interpreter = root / ".venv" / "bin" / "python"
    if not interpreter.exists():
        raise AbsentError(f"{interpreter} is missing: run `make install` there")
    shape = Shape(AGAINST)
    installation = Installation(place.folder / "data")
    up = [*under, str(interpreter), "-P", "-m", "cli", "up", "--free-ports", "--no-simulator"]
    up += ["--data-dir", str(installation.data_dir), "--config", str(write_config(place, shape))]
    log = place.folder / "up.log"
    environ = {**everything_on(place.folder), "PYTHONPATH": ""}
    with running(up, log, environ, folder=root) as process:
        addresses = _await_addresses(installation, process, log)
        token = installation.internal_token({})
        with connected("billing", addresses.grpc["billing"], token) as billing:
            keys = make_keys(billing, shape.organizations)
            yield Running(
                AGAINST,
                Target("headgate", addresses.grpc["router"], keys=keys),
                {name: addresses.pids[name] for name in SERVICES},
                counted_as=AGAINST,
                access=Access(addresses, token, installation.data_dir, SECRET, Ledger(billing)),
            )


def _await_addresses(installation: Installation, process: Popen[bytes], log: Path) -> Addresses:
    """They are written once everything serves.

    :raises DidNotStartError: it ended, or did not serve in time
    """
    deadline = time.monotonic() + _READY_SECONDS
    while (addresses := installation.read_addresses()) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
            raise DidNotStartError(f"{AGAINST} did not start: {' | '.join(said)}")
        time.sleep(_POLL_SECONDS)
    return addresses
