"""`headgate up`: what it starts, how it ends, and that it leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.hostile_text import HOSTILE, MARKUP, obeyed_in
from tests.support.suite import HEADGATE, RunningSuite, StartSuite, clean_environment

# Each test starts an installation or two, on a machine that others use too.
pytestmark = pytest.mark.timeout(300)

CHILDREN = {"router", "cache", "ratelimit", "billing", "simulator"}


def test_five_processes_run_and_none_is_left_after_sigterm(start_suite: StartSuite) -> None:
    with start_suite() as suite:
        pids = suite.addresses.pids
        assert set(pids) == CHILDREN | {"up"}
        assert len(set(pids.values())) == 6
        assert all(_is_alive(pid) for pid in pids.values())
        assert suite.stop() == 0
        assert not any(_is_alive(pid) for pid in pids.values())
        assert not suite.installation.addresses_file.exists()
        assert not suite.installation.token_file.exists()


def test_the_key_and_the_ledger_outlive_a_restart(tmp_path: Path) -> None:
    with RunningSuite.running(tmp_path) as suite:
        first_key = suite.api_key
        assert suite.headgate("complete", "Hi", "-m", "fast").returncode == 0
    with RunningSuite.running(tmp_path) as suite:
        assert suite.api_key == first_key
        entries = json.loads(suite.headgate("usage", "--entries", "--json").stdout)
        assert [entry["record"]["model"] for entry in entries] == ["sim-small"]


def test_kill_9_of_up_leaves_no_process(start_suite: StartSuite) -> None:
    with start_suite() as suite:
        pids = suite.addresses.pids
        suite.process.kill()
        suite.process.wait()
        deadline = time.monotonic() + 90
        while alive := [name for name, pid in pids.items() if _is_alive(pid)]:
            assert time.monotonic() < deadline, alive
            time.sleep(0.05)


def test_a_service_that_dies_ends_the_suite_and_is_named(start_suite: StartSuite) -> None:
    with start_suite() as suite:
        pids = suite.addresses.pids
        suite.kill("ratelimit")
        assert suite.process.wait(90) == 1
        assert "ratelimit ended by itself" in suite.output.read_text(encoding="utf-8")
        assert not any(_is_alive(pid) for pid in pids.values())


def test_with_restart_after_a_service_comes_back_where_it_was(start_suite: StartSuite) -> None:
    with start_suite(restart_after=0) as suite:
        before, address = suite.pid("cache"), suite.addresses.grpc["cache"]
        suite.kill("cache")
        deadline = time.monotonic() + 90
        while suite.pid("cache") == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert suite.addresses.grpc["cache"] == address
        asked = ("complete", "Hi", "-m", "fast", "-t", "0")
        while "cache hit" not in suite.headgate(*asked).stderr:
            assert time.monotonic() < deadline, suite.told()


def test_two_suites_do_not_share_a_data_directory(suite: RunningSuite) -> None:
    _assert_not_started(suite.data_dir, "--free-ports", says="another `headgate up`")


def test_a_port_in_use_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environ = {f"HEADGATE_{name}_LISTEN": "127.0.0.1:0" for name in ("ROUTER", "CACHE", "RATELIMIT")}
        _assert_not_started(
            tmp_path,
            "--free-ports",
            environ={**environ, "HEADGATE_BILLING_LISTEN": address},
            says=f"port {address.rpartition(':')[2]}, which the billing service needs, is in use",
        )


def test_a_service_that_refuses_its_settings_says_why(tmp_path: Path) -> None:
    _assert_not_started(
        tmp_path, "--free-ports", environ={"HEADGATE_CACHE_STORE": "papyrus"}, says="HEADGATE_CACHE_STORE"
    )


def test_a_mistake_in_the_configuration_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("router:\n  modles: {}\n", encoding="utf-8")
    _assert_not_started(
        tmp_path / "data",
        "--free-ports",
        "--config",
        str(tmp_path / "mine.yaml"),
        says="mine.yaml:2: router.modles",
    )


def test_a_provider_whose_key_is_set_is_used_instead_of_the_simulator(
    suite: RunningSuite, start_suite: StartSuite
) -> None:
    simulated = {
        "OPENAI_API_KEY": "a key that the simulator does not look at",
        "OPENAI_BASE_URL": f"{suite.addresses.simulator}/v1",
        "OPENAI_MODEL": "sim-medium",
    }
    with start_suite(environ=simulated) as real:
        assert set(real.addresses.pids) == CHILDREN - {"simulator"} | {"up"}
        done = real.headgate("complete", "Hi")
        assert done.returncode == 0, done.stderr
        assert "sim-medium by openai" in done.stderr
        kept = (real.data_dir / "run" / "config.yaml").read_text(encoding="utf-8")
        assert simulated["OPENAI_API_KEY"] not in kept


def test_logs_are_printed_when_asked_for(tmp_path: Path) -> None:
    command = [*HEADGATE, "up", "--free-ports", "--logs", "--data-dir", str(tmp_path)]
    with subprocess.Popen(
        command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        seen: set[str] = set()
        for line in process.stdout:
            if '"event":"listening"' in line:
                seen.add(line.split()[0])
            if seen == CHILDREN - {"simulator"}:
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 0


def test_what_logs_hold_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    command = [*HEADGATE, "up", "--free-ports", "--logs", "--data-dir", str(tmp_path)]
    with subprocess.Popen(
        command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        lines = (line.decode() for line in process.stdout)
        assert any("Ctrl-C ends it" in line for line in lines)
        with (tmp_path / "logs" / "cache.log").open("a", encoding="utf-8", newline="") as log:
            log.write(f"{HOSTILE}\n")
        shown = next(line for line in lines if MARKUP in line)
        assert shown.startswith("cache ")
        assert not obeyed_in(shown)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 0


def _assert_not_started(
    data_dir: Path, *options: str, says: str, environ: dict[str, str] | None = None
) -> None:
    done = subprocess.run(
        [*HEADGATE, "up", "--data-dir", str(data_dir), *options],
        env=clean_environment(environ),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 1, done
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed process whose parent has not collected it yet is dead all the same.
    stat = Path(f"/proc/{pid}/stat")
    try:
        return not stat.parent.parent.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("option", [("--port-offset", "20000")])
def test_an_offset_beyond_the_last_port_is_refused(tmp_path: Path, option: tuple[str, str]) -> None:
    _assert_not_started(tmp_path, *option, says="--port-offset 20000")
