"""Starts `headgate up` many times in a row and counts the starts that worked: `python scripts/starts.py --times 50 --busy`."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import IO

_OFFSET = 9000
_START_SECONDS = 120.0
_POLL_SECONDS = 0.02
# What `up` prints last, when its own first call has been answered.
_READY = "/StreamComplete"
_SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50, help="how many starts")
    parser.add_argument("--busy", action="store_true", help="keep every core busy beside them")
    options = parser.parse_args()
    with ExitStack() as ending:
        if options.busy:
            for _ in range(os.cpu_count() or 1):
                ending.enter_context(running([sys.executable, "-c", _SPIN]))
        seconds = [started(number) for number in range(1, options.times + 1)]
    succeeded = sorted(each for each in seconds if each is not None)
    print(f"{len(succeeded)} of {len(seconds)} starts succeeded")
    if succeeded:
        print(f"ready after {median(succeeded):.2f} s (median), {succeeded[-1]:.2f} s (worst)")
    return 0 if len(succeeded) == len(seconds) else 1


def started(number: int) -> float | None:
    """How long it took until everything answered; None when it did not."""
    with tempfile.TemporaryDirectory(prefix="headgate-start-") as folder:
        output, began = Path(folder) / "up.log", time.monotonic()
        with output.open("wb") as log, running(_up(folder), log) as process:
            while _READY not in (said := output.read_text(encoding="utf-8")):
                if process.poll() is not None or time.monotonic() - began > _START_SECONDS:
                    print(f"start {number} failed with exit code {process.poll()}:\n{said}")
                    return None
                time.sleep(_POLL_SECONDS)
            return time.monotonic() - began


def _up(folder: str) -> list[str]:
    # Ports that are known beforehand: the router starts beside its peers, as `make up` starts it.
    return [sys.executable, "-m", "cli", "up", "--data-dir", folder, "--port-offset", str(_OFFSET)]


@contextmanager
def running(
    command: list[str], output: int | IO[bytes] = subprocess.DEVNULL
) -> Iterator["subprocess.Popen[bytes]"]:
    """The process, ended with SIGTERM."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
