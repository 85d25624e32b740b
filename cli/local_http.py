"""HTTP to processes of this machine, past every proxy that the environment names."""

from urllib.request import ProxyHandler, Request, build_opener

_open = build_opener(ProxyHandler({})).open


def fetch(request: str | Request, timeout_seconds: float) -> bytes:
    """The body of the answer.

    :raises OSError: there is none, or it is an error.
    """
    with _open(request, timeout=timeout_seconds) as response:
        body: bytes = response.read()
        return body
