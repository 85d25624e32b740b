"""Whatever services say, no command lets it command the terminal, and none takes it for markup."""

import json
import os
import pty
import re
import subprocess
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner, Result

from cli.app import app
from tests.support.hostile_services import answering, refusing, serving
from tests.support.hostile_text import HOSTILE, MARKUP, obeyed_in
from tests.support.suite import HEADGATE, clean_environment

# By the command that each line runs; a command that is missing here fails a test.
LINES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "complete": (("Hi",), ("Hi", "--no-stream"), ("Hi", "-m", HOSTILE)),
    "models": ((),),
    "targets": ((),),
    "whoami": ((),),
    "usage": (
        ("--mine", "user", "--by", "day,organization,user,key,model,provider"),
        ("--by", "day,organization,user,key,model,provider"),
        ("--entries",),
    ),
    "budgets": ((),),
    "holds": ((), ("--orphaned",)),
    "keys create": (("--name", HOSTILE),),
    "keys list": ((),),
    "keys rename": ((HOSTILE, HOSTILE),),
    "keys revoke": ((HOSTILE,),),
    "limits": ((),),
    "limits list": ((),),
    "limits set": ((HOSTILE, "--rate", "60/1m", "--org", HOSTILE),),
    "limits delete": ((HOSTILE,),),
}
CSV = (
    ("usage", "--csv", "--by", "organization,user,key,model,provider"),
    ("usage", "--csv", "--entries"),
)
# Those that start services of their own are seen to in test_cli_up.py and test_demo.py.
STARTING = {"up", "demo"}
COMMANDS = [(*command.split(), *options) for command, lines in LINES.items() for options in lines]
REFUSALS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
)
_ROWS_AND_COLUMNS = (50, 2000)
_SECONDS = 60


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    with serving(answering) as address:
        yield address


@pytest.fixture(scope="module", params=REFUSALS, ids=lambda code: code.name)
def unwilling(request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(refusing(request.param)) as address:
        yield address


def test_every_command_that_asks_services_is_here() -> None:
    assert set(LINES) | STARTING == set(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("line", [*COMMANDS, *CSV], ids=" ".join)
def test_what_services_say_is_shown_and_not_obeyed(
    line: tuple[str, ...], hostile: str, tmp_path: Path
) -> None:
    done = _run(line, hostile, tmp_path)
    assert done.exit_code == 0, done.output
    assert MARKUP in done.stdout
    assert not obeyed_in(done.stdout + done.stderr)


@pytest.mark.parametrize("line", COMMANDS, ids=" ".join)
def test_json_holds_exactly_what_services_say(line: tuple[str, ...], hostile: str, tmp_path: Path) -> None:
    done = _run((*line, "--json"), hostile, tmp_path)
    assert done.exit_code == 0, done.output
    assert not obeyed_in(done.stdout + done.stderr)
    assert HOSTILE in _texts(_documents(done.stdout))


@pytest.mark.parametrize("line", COMMANDS, ids=" ".join)
def test_a_refusal_is_one_line_and_not_obeyed(line: tuple[str, ...], unwilling: str, tmp_path: Path) -> None:
    done = _run(line, unwilling, tmp_path)
    assert done.exit_code in (1, 3, 5), done.output
    assert MARKUP in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not obeyed_in(done.stdout + done.stderr)


@pytest.mark.parametrize("line", COMMANDS, ids=" ".join)
def test_on_a_terminal_nothing_but_colours_is_commanded(
    line: tuple[str, ...], hostile: str, tmp_path: Path
) -> None:
    shown = _run_on_a_terminal(line, _environment(hostile, tmp_path))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.replace("\r\n", "\n"))
    assert MARKUP in plain
    assert not obeyed_in(plain)


@pytest.mark.parametrize("code", REFUSALS, ids=lambda code: code.name)
def test_on_a_terminal_refusals_command_nothing_but_colours(code: grpc.StatusCode, tmp_path: Path) -> None:
    with serving(refusing(code)) as address:
        shown = _run_on_a_terminal(("models",), _environment(address, tmp_path))
    assert "\x1b[31m" in shown
    assert not obeyed_in(re.sub(r"\x1b\[[0-9;]*m", "", shown.replace("\r\n", "\n")))


@pytest.mark.parametrize(
    "line", [("models", HOSTILE), (HOSTILE,), ("keys", HOSTILE), ("usage", "--since", HOSTILE)]
)
def test_an_argument_that_is_wrong_is_not_obeyed(line: tuple[str, ...], hostile: str, tmp_path: Path) -> None:
    done = _run(line, hostile, tmp_path)
    assert done.exit_code == 2
    assert MARKUP in done.stderr
    assert not obeyed_in(done.stderr)


def test_an_argument_that_is_no_text_is_shown(hostile: str, tmp_path: Path) -> None:
    asked = [*HEADGATE, os.fsdecode(b"\xff\x9b2J")]
    done = subprocess.run(
        asked, env=_environment(hostile, tmp_path), capture_output=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 2
    assert rb"\udcff\udc9b2J" in done.stderr


def _commands(command: Any, path: str = "") -> Iterator[str]:
    if not isinstance(command, TyperGroup):
        yield path
        return
    if path and command.invoke_without_command:
        yield path
    for name, child in command.commands.items():
        yield from _commands(child, f"{path} {name}".strip())


def _environment(address: str, data_dir: Path) -> dict[str, str]:
    services = {f"HEADGATE_{name}_ADDRESS": address for name in ("ROUTER", "RATELIMIT", "BILLING")}
    tokens = {"HEADGATE_API_KEY": "hg_a_b", "HEADGATE_INTERNAL_TOKEN": "t" * 32}
    return clean_environment({**services, **tokens, "HEADGATE_DATA_DIR": str(data_dir)})


def _run(line: tuple[str, ...], address: str, data_dir: Path) -> Result:
    return CliRunner().invoke(app, list(line), env=_environment(address, data_dir))


def _run_on_a_terminal(line: tuple[str, ...], environ: Mapping[str, str]) -> str:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, _ROWS_AND_COLUMNS)
    colours = {"TERM": "xterm-256color", "PYTHONUTF8": "1"}
    environ = {name: value for name, value in environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    with subprocess.Popen(
        [*HEADGATE, *line], env={**environ, **colours}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b"".join(_until_closed(ours))
        process.wait(_SECONDS)
    os.close(ours)
    return shown.decode()


def _until_closed(terminal: int) -> Iterator[bytes]:
    """Linux ends a terminal that nobody holds any more with an error."""
    while True:
        try:
            read = os.read(terminal, 65536)
        except OSError:
            return
        if not read:
            return
        yield read


def _documents(text: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _texts(child)
