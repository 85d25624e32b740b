"""Becomes another program that the kernel ends with its parent: `python -m cli.suite.bound PARENT_PID MODULE …`."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, arguments: list[str]) -> None:
    if sys.platform.startswith("linux"):
        # It survives exec. SIGTERM, so that an orphan drains before it ends.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent was gone before the start")
    # -P: a folder `services` where the user happens to stand must not be run instead.
    os.execv(sys.executable, [sys.executable, "-P", "-m", *arguments])  # noqa: S606 - the point of this module


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
