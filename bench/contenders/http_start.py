"""Waits for a peer that serves HTTP."""

import time
from subprocess import Popen
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from bench.contenders.contender import AbsentError

_POLL_SECONDS = 0.2


def await_http(url: str, process: Popen[bytes], seconds: float) -> None:
    """Until it answers, with whatever status.

    :raises AbsentError: it ended, or did not answer in time
    """
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=1):  # noqa: S310 - a server that was just started here
                return
        except HTTPError:
            return
        except (URLError, OSError):
            time.sleep(_POLL_SECONDS)
    raise AbsentError("did not start" if process.poll() is None else "ended while it started")
