"""Child processes and signals, with processes of the standard library instead of services."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from cli.suite.child import Child, ChildPlan
from cli.suite.log_tail import LogTails
from cli.suite.signals import StopSignals

PATIENCE_SECONDS = 20.0


def child_of(folder: Path, module: str, *arguments: str) -> Child:
    return Child(ChildPlan("it", module, arguments), dict(os.environ), folder / "it.log")


def await_end(child: Child) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while child.exit_code is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return child.exit_code


def test_a_child_that_ends_tells_why(tmp_path: Path) -> None:
    child = child_of(tmp_path, "json.tool")
    assert await_end(child) != 0
    assert child.last_words().startswith("Expecting value")


def test_a_logged_problem_is_a_childs_last_word(tmp_path: Path) -> None:
    child = child_of(tmp_path, "base64", "-h")
    await_end(child)
    child.log.write_text('{"event": "listening", "address": "a:1"}\n{"event": "x", "problem": "no disk"}\n')
    assert child.last_words() == "no disk"
    assert child.logged("listening") == {"event": "listening", "address": "a:1"}
    assert child.logged("ready") is None


def test_a_child_leads_a_process_group_of_its_own_and_can_be_killed(tmp_path: Path) -> None:
    child = child_of(tmp_path, "http.server", "--bind", "127.0.0.1", "0")
    assert child.exit_code is None
    assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
    child.kill()
    assert child.exit_code == -signal.SIGKILL


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children with their parent")
def test_a_program_whose_parent_is_another_does_not_start(tmp_path: Path) -> None:
    child = child_of(tmp_path, "cli.suite.bound", "1", "base64")
    assert await_end(child) == 1
    assert "the parent was gone" in child.last_words()


def test_new_lines_of_a_log_come_once_and_whole(tmp_path: Path) -> None:
    child = child_of(tmp_path, "base64", "-h")
    await_end(child)
    child.log.write_bytes(b"one\ntw")
    tails = LogTails()
    assert list(tails.new_lines({"it": child})) == [("it", "one")]
    with child.log.open("ab") as log:
        log.write(b"o\n")
    assert list(tails.new_lines({"it": child})) == [("it", "two")]
    assert list(tails.new_lines({"it": child})) == []
    tails.close()


def test_signals_are_counted_and_end_a_pause_and_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        began = time.monotonic()
        signals.pause(PATIENCE_SECONDS)
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
        assert signals.count == 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_signal_interrupts_and_the_next_ones_only_count() -> None:
    with StopSignals(interrupting=True) as signals:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.count == 2
