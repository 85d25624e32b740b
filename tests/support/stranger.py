"""A stranger's proxy: it takes every connection, keeps what it was sent, and answers nothing."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SCHEMES = ("http", "https", "grpc", "all", "ftp", "ws", "wss")


class Stranger:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.connections = 0
        self.received = bytearray()

    @property
    def environ(self) -> dict[str, str]:
        """Every variable by which programs are told of a proxy, and none that makes an exception."""
        lower = {f"{scheme}_proxy": self.url for scheme in _SCHEMES}
        return {**lower, **{name.upper(): url for name, url in lower.items()}, "no_proxy": "", "NO_PROXY": ""}


@contextmanager
def stranger() -> Iterator[Stranger]:
    class Record(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            met.connections += 1
            while received := self.request.recv(65536):
                met.received += received

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Record) as server:
        met = Stranger(server.server_address[1])
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield met
        finally:
            server.shutdown()
            serving.join()
