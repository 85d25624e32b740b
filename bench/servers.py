"""Redis and PostgreSQL for the contenders that use them: real servers in temporary directories, durable as in production."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contenders.contender import AbsentError
from bench.processes import await_line, running

_DEBIAN = Path("/usr/lib/postgresql")
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A redis-server that keeps nothing on disk."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator["RedisServer"]:
        """:raises AbsentError: it is not installed"""
        program, port, log = _program("redis-server"), free_port(), folder / "redis.log"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with running([program, *options, "--dir", str(folder)], log) as process:
            await_line(process, log, "Ready to accept connections")
            yield cls(process.pid, port)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A PostgreSQL cluster with its defaults: every commit is on disk."""

    pid: int
    url: str

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["PostgresServer"]:
        """:raises AbsentError: it is not installed"""
        user = "postgres" if os.geteuid() == 0 else None
        server, initdb, psql = (_program(name) for name in ("postgres", "initdb", "psql"))
        # PostgreSQL refuses to run as root, and its user can't enter what belongs to root.
        folder = Path(tempfile.mkdtemp(prefix="headgate-bench-postgres-"))
        try:
            if user is not None:
                shutil.chown(folder, user, user)
            data, log, port = folder / "data", folder.with_suffix(".log"), free_port()
            _run(
                [
                    initdb,
                    "-D",
                    str(data),
                    "--auth=trust",
                    "--username=headgate",
                    "--encoding=UTF8",
                    "--no-locale",
                ],
                user,
            )
            options = [
                "-D",
                str(data),
                "-p",
                str(port),
                "-k",
                str(folder),
                "-c",
                "listen_addresses=127.0.0.1",
            ]
            # SIGINT is its fast shutdown.
            with running([server, *options], log, stop=signal.SIGINT, user=user) as process:
                await_line(process, log, "database system is ready to accept connections")
                where = ["-h", "127.0.0.1", "-p", str(port), "-U", "headgate", "-d", "postgres"]
                _run([psql, *where, "-q", "-c", "CREATE DATABASE bench"], user)
                yield cls(process.pid, f"postgresql://headgate@127.0.0.1:{port}/bench")
            log.unlink(missing_ok=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str) -> str:
    found = shutil.which(name) or _newest_of_debian(name)
    if found is None:
        raise AbsentError(f"{name} is not installed")
    return found


def _newest_of_debian(name: str) -> str | None:
    programs = [path for path in _DEBIAN.glob(f"*/bin/{name}") if path.parts[-3].isdigit()]
    return str(max(programs, key=lambda path: int(path.parts[-3]))) if programs else None


def _run(command: Sequence[str], user: str | None) -> None:
    subprocess.run(
        command,
        check=True,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT_SECONDS,
    )
