"""A real PostgreSQL of the tests' own.

`postgres_server` (session): a running `PostgresServer`; each xdist worker has one.
`postgres_url` (per test): the URL of a new, empty database on it.

A test that kills PostgreSQL starts one of its own:

    with PostgresServer.running() as postgres:
        url = postgres.new_database()
        postgres.kill()    # gone; what was committed stays on disk
        postgres.start()   # back, on the same port

Without the binaries these skip and say so; with HEADGATE_TEST_REQUIRE_SERVERS=1 they fail instead.
"""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

_DEBIAN = Path("/usr/lib/postgresql")
# Commits survive the death of PostgreSQL without fsync, though not that of the machine.
_OPTIONS = "-c listen_addresses=127.0.0.1 -c max_connections=60 -c fsync=off -c full_page_writes=off"
_ATTEMPTS = 8
_TIMEOUT = 60


class PostgresServer:
    """A PostgreSQL cluster in a directory of its own, on a free port of this machine."""

    def __init__(self, directory: Path) -> None:
        self._initdb, self._pg_ctl, self._psql = (_require(name) for name in ("initdb", "pg_ctl", "psql"))
        self._directory = directory
        self._data = directory / "data"
        self._databases = itertools.count(1)
        self.port = 0

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        # Not pytest's directory: PostgreSQL refuses to run as root, and its user can't enter what belongs to root.
        directory = Path(tempfile.mkdtemp(prefix="headgate-postgres-"))
        try:
            server = cls(directory)
            server.create()
            server.start()
            try:
                yield server
            finally:
                server.kill()
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def create(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self._directory, "postgres", "postgres")
        options = ["--auth=trust", "--username=headgate", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._run([self._initdb, "-D", str(self._data), *options])

    def start(self) -> None:
        for _ in range(_ATTEMPTS):
            port = self.port or _free_port()
            options = f"-p {port} -k {self._directory} {_OPTIONS}"
            command = [
                self._pg_ctl,
                "-D",
                str(self._data),
                "-w",
                "-l",
                str(self._directory / "log"),
                "-o",
                options,
            ]
            if self._run([*command, "start"], check=False) == 0:
                self.port = port
                return
        pytest.fail(
            "PostgreSQL did not start: " + (self._directory / "log").read_text(errors="replace")[-2000:]
        )

    def kill(self) -> None:
        """SIGQUIT, PostgreSQL's immediate shutdown: no connection is waited for, and the next start recovers."""
        pid_file = self._data / "postmaster.pid"
        if pid_file.exists():
            command = [self._pg_ctl, "-D", str(self._data), "-w", "-m", "immediate", "stop"]
            self._run(command, check=False)

    def new_database(self) -> str:
        name = f"test_{next(self._databases)}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return f"postgresql://headgate@127.0.0.1:{self.port}/{name}"

    def execute(self, database: str, sql: str) -> None:
        command = [self._psql, "-h", "127.0.0.1", "-p", str(self.port), "-U", "headgate", "-d", database]
        self._run([*command, "-v", "ON_ERROR_STOP=1", "-q", "-c", sql])

    def _run(self, command: Sequence[str], *, check: bool = True) -> int:
        user = "postgres" if os.geteuid() == 0 else None
        done = subprocess.run(
            command,
            check=False,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if check else subprocess.DEVNULL,
            timeout=_TIMEOUT,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{command[0]} failed: {done.stderr.decode(errors='replace')[-2000:]}")
        return done.returncode


def _require(name: str) -> str:
    found = shutil.which(name) or _newest_of_debian(name)
    if found is not None:
        return found
    reason = f"PostgreSQL ({name}) is not installed"
    if os.environ.get("HEADGATE_TEST_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{reason}, and HEADGATE_TEST_REQUIRE_SERVERS=1")
    pytest.skip(reason)


def _newest_of_debian(name: str) -> str | None:
    programs = [path for path in _DEBIAN.glob(f"*/bin/{name}") if path.parts[-3].isdigit()]
    return str(max(programs, key=lambda path: int(path.parts[-3]))) if programs else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer.running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    return postgres_server.new_database()
