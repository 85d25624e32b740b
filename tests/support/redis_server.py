"""A real redis-server of the tests' own.

`redis_server` (session): a running `RedisServer`; several test modules share it, so begin with `redis_server.flush()`.
`redis_url` (per test): the URL of the same server, emptied before the test.

A test that stops, kills or pauses Redis starts one of its own, so that nobody else notices:

    with RedisServer.running(tmp_path) as redis:
        ...
        redis.pause()      # connected, but answers nothing
        redis.resume()
        redis.kill()       # gone, with everything it held
        redis.start()      # back, on the same port, empty

Without the binary these skip and say so; with HEADGATE_TEST_REQUIRE_SERVERS=1 they fail instead.
Each xdist worker has a server of its own.
"""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

import pytest
import redis

from tests.support.programs import require_binary

_ATTEMPTS = 8


class RedisServer:
    """A redis-server process on a free port of this machine; it keeps nothing on disk."""

    def __init__(self, directory: Path) -> None:
        self._program = require_binary("redis-server")
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @classmethod
    @contextmanager
    def running(cls, directory: Path) -> Iterator[Self]:
        server = cls(directory)
        server.start()
        try:
            yield server
        finally:
            server.kill()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        for _ in range(_ATTEMPTS):
            port = self.port or _free_port()
            if self._launch(port):
                self.port = port
                return
        pytest.fail("redis-server did not start")

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
            client.script_flush()

    def pause(self) -> None:
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _running(self) -> "subprocess.Popen[str]":
        assert self._process is not None, "the server is not running"
        return self._process

    def _launch(self, port: int) -> bool:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(
            [self._program, *options, "--dir", str(self._directory)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "Ready to accept connections" in line:
                threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
                self._process = process
                return True
        # The port was taken meanwhile: the process has ended.
        process.stdout.close()
        process.wait()
        return False


def _drain(stream: IO[str]) -> None:
    with stream:
        for _ in stream:
            pass


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer.running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    redis_server.flush()
    return redis_server.url
