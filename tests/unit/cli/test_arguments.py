"""What `headgate` says when it is used wrongly: one line, what to read, exit code 2."""

import pytest
from typer.testing import CliRunner

from cli.app import app

RUNNER = CliRunner()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["complete"], "Missing argument 'prompt'"),
        (["complete", "Hi", "--cache", "perhaps"], "'perhaps' is not one of 'on', 'off', 'refresh'"),
        (["complete", "Hi", "--timeout", "0"], "--timeout"),
        (["complete", "Hi", "--temperature", "warm"], "--temperature"),
        (["limits", "set", "small"], "give either --rate or --window"),
        (["limits", "set", "small", "--rate", "1/1m", "--window", "1/1m"], "give either --rate or --window"),
        (["limits", "set", "small", "--window", "1/1m", "--burst", "2"], "--burst belongs to --rate"),
        (["limits", "set", "small", "--rate", "60"], "`60` is not AMOUNT/PERIOD, such as 60/1m"),
        (["limits", "set", "small", "--rate", "60/soon"], "`soon` is not a period"),
        (["limits", "set", "small", "--rate", "many/1m"], "`many` is not an amount"),
        (["limits", "set", "small", "--rate", "0.5/1m"], "`0.5` is not a positive whole number"),
        (["limits", "set", "small", "--rate", "0/1m", "--metric", "cost"], "`0` is not a positive price"),
        (["limits", "set", "small", "--rate", "1/1m", "--per", "colour"], "'colour' is not one of"),
        (["keys", "create", "--user", "two words"], "letters, digits"),
        (["keys", "create", "--expires-in", "never"], "`never` is not a period"),
        (["keys", "creat"], "Did you mean 'create'?"),
        (
            ["usage", "--by", "day,colour"],
            "`colour` is none of day, organization, user, key, model, provider",
        ),
        (["usage", "--since", "yesterday"], "`yesterday` is not a period"),
        (["usage", "--csv", "--json"], "give either --csv or --json"),
        (["usage", "--last", "0"], "--last"),
        (["usage", "--mine", "everybody"], "'everybody' is not one of 'key', 'user', 'organization'"),
        (["usage", "--mine", "key", "--user", "bob"], "--mine goes with none of --org, --user"),
        (["usage", "--mine", "user", "--entries"], "--mine goes with none of --org, --user"),
        (["up", "--config", "no-such-file.yaml"], "no-such-file.yaml"),
        (["up", "--port-offset", "-1"], "--port-offset"),
        (["fly"], "No such command 'fly'"),
        (["--fly"], "No such option"),
    ],
)
def test_wrong_usage_is_told_in_one_line_with_where_to_read(command: list[str], says: str) -> None:
    done = RUNNER.invoke(app, command, prog_name="headgate")
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert "--help` tells more" in done.stderr


def test_help_lists_the_commands_and_the_exit_codes() -> None:
    told = RUNNER.invoke(app, ["--help"], prog_name="headgate")
    assert told.exit_code == 0
    for command in (
        "up",
        "demo",
        "complete",
        "keys",
        "limits",
        "usage",
        "budgets",
        "holds",
        "whoami",
        "models",
        "targets",
    ):
        assert f" {command} " in told.stdout
    words = " ".join(told.stdout.split())
    for code in (
        "0 done",
        "1 the request failed",
        "2 wrong usage",
        "3 a service",
        "4 the key",
        "5 a limit",
        "130",
    ):
        assert code in words


@pytest.mark.parametrize("group", ["keys", "limits"])
def test_every_command_of_a_group_has_json(group: str) -> None:
    listed = {"keys": ("create", "list", "rename", "revoke"), "limits": ("list", "set", "delete")}[group]
    for command in listed:
        assert "--json" in RUNNER.invoke(app, [group, command, "--help"]).stdout
