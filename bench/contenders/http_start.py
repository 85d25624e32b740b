"""Waits for a peer that serves HTTP."""

import time
from subprocess import Popen
from urllib.error import HTTPError, URLError

from bench.contenders.contender import AbsentError
from cli import local_http

_POLL_SECONDS = 0.2


def await_http(url: str, process: Popen[bytes], seconds: float) -> None:
    """Until it answers, with whatever status.

    :raises AbsentError: it ended, or did not answer in time
    """
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            local_http.fetch(url, 1)
        except HTTPError:
            return
        except (URLError, OSError):
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise AbsentError("did not start" if process.poll() is None else "ended while it started")
