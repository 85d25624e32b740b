"""`headgate`'s commands against a running suite."""

import csv
import io
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.suite import HEADGATE, RunningSuite, clean_environment, run_headgate

# Each costs more than a twentieth of what the limit lets be spent.
_MOST_PAID = 20
Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


def test_complete_prints_the_answer_and_what_it_took(suite: RunningSuite) -> None:
    done = suite.headgate("complete", "Why is the sky blue?", "--model", "sim-small")
    assert done.returncode == 0
    assert len(done.stdout.split()) > 3
    assert done.stdout.endswith("\n")
    assert "sim-small by simulator" in done.stderr
    assert "$0.0000" in done.stderr
    assert "tokens" in done.stderr


def test_complete_without_a_model_asks_the_first_one(suite: RunningSuite) -> None:
    models = json.loads(suite.headgate("models", "--json").stdout)
    events = _events(suite.headgate("complete", "Hello", "--json"))
    assert events[0]["started"]["requested_model"] == models[0]["model_id"]


def test_json_prints_one_event_a_line_from_started_to_finished(suite: RunningSuite) -> None:
    events = _events(suite.headgate("complete", "Count to ten", "--model", "sim-small", "--json"))
    assert [event["sequence"] for event in events] == [str(n + 1) for n in range(len(events))]
    assert "started" in events[0]
    assert events[-1]["finished"]["outcome"] == "OUTCOME_COMPLETE"
    assert any("delta" in event for event in events)


def test_the_unstreamed_answer_is_the_streamed_one(suite: RunningSuite) -> None:
    asked = ("complete", "Tell me about rivers", "--model", "sim-small")
    streamed = suite.headgate(*asked)
    whole = suite.headgate(*asked, "--no-stream")
    assert whole.returncode == 0
    assert whole.stdout == streamed.stdout


def test_a_repeated_request_comes_from_the_cache_at_no_cost(suite: RunningSuite) -> None:
    asked = ("complete", "A question asked twice", "--model", "sim-small", "--temperature", "0")
    first, second = suite.headgate(*asked), _until_cached(suite, asked)
    assert "cache miss" in first.stderr
    assert "cache hit" in second.stderr
    assert "$0.00 " in second.stderr
    assert second.stdout == first.stdout
    assert "cache bypass" in suite.headgate(*asked, "--cache", "off").stderr


def test_the_prompt_can_come_from_standard_input(suite: RunningSuite) -> None:
    asked = ("--model", "sim-small", "--cache", "off")
    read = suite.headgate("complete", "-", *asked, stdin="Why is grass green?")
    assert read.stdout == suite.headgate("complete", "Why is grass green?", *asked).stdout


def test_the_longest_answer_and_the_instructions_reach_the_model(suite: RunningSuite) -> None:
    asked = ("complete", "Go on", "--model", "sim-small", "--max-tokens", "4", "--json")
    finished = _events(suite.headgate(*asked))[-1]["finished"]
    assert finished["usage"]["output_tokens"] == "4"
    assert finished["outcome"] == "OUTCOME_TRUNCATED"
    instructed = _events(suite.headgate(*asked, "--system", "Answer in rhymes, please, as always"))[-1][
        "finished"
    ]
    assert int(instructed["usage"]["input_tokens"]) > int(finished["usage"]["input_tokens"])


def test_a_wrong_key_is_told_in_one_line_and_ends_with_4(suite: RunningSuite) -> None:
    done = suite.headgate("complete", "Hi", "-m", "fast", environ={"HEADGATE_API_KEY": "hg_nobody_wrong"})
    _assert_refused(done, 4, "HEADGATE_API_KEY")


def test_a_wrong_internal_token_is_told_apart_from_a_wrong_key(suite: RunningSuite) -> None:
    done = suite.headgate("keys", "list", environ={"HEADGATE_INTERNAL_TOKEN": "wrong"})
    _assert_refused(done, 4, "Set HEADGATE_INTERNAL_TOKEN to what the services were started with")


def test_a_revoked_key_is_refused(suite: RunningSuite) -> None:
    made = json.loads(
        suite.headgate("keys", "create", "--user", "leaver", "--name", "old laptop", "--json").stdout
    )
    key_id = made["key"]["key_id"]
    assert suite.headgate("keys", "revoke", key_id).returncode == 0
    listed = json.loads(suite.headgate("keys", "list", "--user", "leaver", "--json").stdout)
    assert [key["key_id"] for key in listed] == [key_id]
    assert "revoke_time" in listed[0]
    assert made["token"] not in suite.headgate("keys", "list").stdout
    assert "revoked" in suite.headgate("keys", "list").stdout
    done = suite.headgate("complete", "Hi", "-m", "fast", environ={"HEADGATE_API_KEY": made["token"]})
    _assert_refused(done, 4, "keys create")


def test_an_unknown_model_is_told_with_where_to_look(suite: RunningSuite) -> None:
    _assert_refused(suite.headgate("complete", "Hi", "--model", "no-such-model"), 1, "headgate models")


def test_a_field_out_of_range_is_named(suite: RunningSuite) -> None:
    _assert_refused(suite.headgate("complete", "Hi", "-m", "fast", "--temperature", "9"), 1, "temperature")


def test_a_limit_refuses_with_5_and_the_time_to_wait(suite: RunningSuite) -> None:
    key = suite.new_key("limited")
    limited = {"HEADGATE_API_KEY": key}
    made = suite.headgate("limits", "set", "test/limited", "--window", "1/1h", "--key", key)
    assert made.returncode == 0, made.stderr
    assert "1 in any 1 h" in made.stdout
    assert suite.headgate("complete", "One", "-m", "fast", environ=limited).returncode == 0
    refused = suite.headgate("complete", "Two", "-m", "fast", environ=limited)
    _assert_refused(refused, 5, "Try again in")
    shown = suite.headgate("limits", environ=limited)
    row = next(line for line in shown.stdout.splitlines() if "test/limited" in line)
    assert "100%" in row
    assert suite.headgate("limits", "delete", "test/limited").returncode == 0
    assert suite.headgate("complete", "Three", "-m", "fast", environ=limited).returncode == 0


def test_a_limit_on_cost_stops_paid_requests_and_shows_what_it_counted(suite: RunningSuite) -> None:
    key = suite.new_key("spends")
    spends = {"HEADGATE_API_KEY": key}
    made = suite.headgate(
        "limits", "set", "test/spend", "--metric", "cost", "--window", "0.0002/1h", "--key", key
    )
    assert "$0.0002 in any 1 h" in made.stdout
    asked = ("complete", "Tell me a long story", "-m", "sim-small", "--cache", "off")
    # The longest answer that may be asked for by default would cost more than is ever there.
    _assert_refused(suite.headgate(*asked, environ=spends), 5, "a smaller max_output_tokens")
    short = (*asked, "--max-tokens", "200")
    runs = [suite.headgate(*short, environ=spends)]
    while runs[-1].returncode == 0:
        assert len(runs) < _MOST_PAID
        runs.append(suite.headgate(*short, environ=spends))
    assert len(runs) > 1
    _assert_refused(runs[-1], 5, "limit test/spend refused")
    shown = json.loads(suite.headgate("limits", "--json", environ=spends).stdout)
    (limit,) = [limit for limit in shown if limit["limit_id"] == "test/spend"]
    (standing,) = limit["standings"]
    assert 0 < int(standing["used"]) <= int(limit["limit"]) == 200_000
    assert suite.headgate("limits", "delete", "test/spend").returncode == 0
    assert suite.headgate(*asked, environ=spends).returncode == 0


def test_a_limit_says_what_becomes_of_requests_while_it_cannot_be_decided(suite: RunningSuite) -> None:
    made = suite.headgate("limits", "set", "test/closed", "--rate", "9/1m", "--store-loss-policy", "closed")
    assert "refuses while" in made.stdout
    listed = json.loads(suite.headgate("limits", "list", "--json").stdout)
    (limit,) = [limit for limit in listed if limit["limit_id"] == "test/closed"]
    assert limit["store_loss_policy"] == "STORE_LOSS_POLICY_CLOSED"
    assert suite.headgate("limits", "delete", "test/closed").returncode == 0


def test_limits_lists_what_the_file_declares_and_keeps_it_read_only(suite: RunningSuite) -> None:
    listed = json.loads(suite.headgate("limits", "list", "--json").stdout)
    declared = next(limit for limit in listed if limit["limit_id"] == "default/requests-per-key")
    assert declared["source"] == "RESOURCE_SOURCE_FILE"
    _assert_refused(suite.headgate("limits", "delete", declared["limit_id"]), 1, "configuration file")
    _assert_refused(suite.headgate("limits", "delete", "no/such-limit"), 1, "no/such-limit")


def test_usage_sums_and_lists_what_a_key_used(suite: RunningSuite) -> None:
    key = suite.new_key("counted")
    key_id, asked = key.split("_")[1], ("-m", "sim-small", "--cache", "off")
    for prompt in ("One", "Two"):
        assert suite.headgate("complete", prompt, *asked, environ={"HEADGATE_API_KEY": key}).returncode == 0
    _await_entries(suite, key_id, 2)
    entries = json.loads(suite.headgate("usage", "--entries", "--key", key, "--json").stdout)
    sums = json.loads(suite.headgate("usage", "--key", key, "--by", "user,model", "--json").stdout)
    assert len(sums) == 1
    assert (sums[0]["user_id"], sums[0]["model"], sums[0]["attempts"]) == ("counted", "sim-small", "2")
    assert int(sums[0]["cost_nanos"]) == sum(int(entry["cost"]["amount_nanos"]) for entry in entries)
    rows = list(
        csv.DictReader(io.StringIO(suite.headgate("usage", "--key", key, "--by", "key", "--csv").stdout))
    )
    assert [(row["key"], row["attempts"]) for row in rows] == [(key_id, "2")]
    assert "sim-small" in suite.headgate("usage", "--key", key, "--since", "1h").stdout


def with_nothing_but(suite: RunningSuite, key: str, folder: Path) -> Run:
    """Runs a command as somebody elsewhere would, who was given a key and the router's address."""
    environ = {
        "HEADGATE_API_KEY": key,
        "HEADGATE_ROUTER_ADDRESS": suite.addresses.grpc["router"],
        "HEADGATE_DATA_DIR": str(folder),
    }
    return lambda *arguments: run_headgate(*arguments, environ=environ)


def test_an_api_key_is_enough_to_see_ones_own(suite: RunningSuite, tmp_path: Path) -> None:
    key = suite.new_key("owner", "owners")
    asks = with_nothing_but(suite, key, tmp_path)
    assert asks("complete", "Mine", "-m", "sim-small", "--cache", "off").returncode == 0
    _await_entries(suite, key.split("_")[1], 1)
    told = json.loads(asks("whoami", "--json").stdout)
    assert (told["organization_id"], told["user_id"], told["key_id"]) == (
        "owners",
        "owner",
        key.split("_")[1],
    )
    for asked in ((), ("--mine", "user"), ("--mine", "organization")):
        (row,) = json.loads(asks("usage", *asked, "--by", "model", "--json").stdout)
        assert (row["model"], row["attempts"]) == ("sim-small", "1")
    assert "Usage of my key since 20" in asks("usage").stdout
    assert "default/requests-per-key" in asks("limits").stdout
    assert asks("budgets").stdout == "no budget binds this key\n"
    _assert_refused(asks("usage", "--mine", "organization", "--by", "user"), 1, "group_by[0]")


def test_with_the_internal_token_usage_is_everybodys_and_with_mine_ones_own(suite: RunningSuite) -> None:
    key = suite.new_key("unused")
    mine = {"HEADGATE_API_KEY": key}
    assert suite.headgate("complete", "Somebody", "-m", "fast").returncode == 0
    _await_entries(suite, suite.api_key.split("_")[1], 1)
    everybody = json.loads(suite.headgate("usage", "--by", "user", "--json", environ=mine).stdout)
    assert "default" in {row["user_id"] for row in everybody}
    assert json.loads(suite.headgate("usage", "--mine", "key", "--json", environ=mine).stdout) == []


def test_what_others_used_needs_more_than_an_api_key(suite: RunningSuite, tmp_path: Path) -> None:
    asks = with_nothing_but(suite, suite.new_key("curious"), tmp_path)
    billing = ("--billing", suite.addresses.grpc["billing"])
    for asked in (("--user", "default"), ("--org", "default"), ("--entries",)):
        _assert_refused(asks("usage", *asked, *billing), 4, "HEADGATE_INTERNAL_TOKEN")


def test_without_a_key_ones_own_is_refused_with_what_to_do(suite: RunningSuite, tmp_path: Path) -> None:
    asks = with_nothing_but(suite, "", tmp_path)
    for command in ("whoami", "usage", "limits", "budgets"):
        _assert_refused(asks(command), 4, "Set HEADGATE_API_KEY")


def test_models_and_targets_tell_what_is_configured(suite: RunningSuite) -> None:
    models = suite.headgate("models").stdout
    assert "large, large-anthropic" in models
    targets = json.loads(suite.headgate("targets", "--json").stdout)
    assert {target["target_id"] for target in targets} >= {"small", "large", "large-anthropic"}
    assert {target["state"] for target in targets} == {"TARGET_STATE_HEALTHY"}
    assert "healthy" in suite.headgate("targets").stdout


def test_ctrl_c_cancels_the_completion_and_ends_with_130(suite: RunningSuite) -> None:
    suite.fault({"gap": "50ms", "tokens": "400"}, model="sim-large")
    environ = clean_environment({"HEADGATE_DATA_DIR": str(suite.data_dir)})
    asked = [*HEADGATE, "complete", "A long story", "-m", "sim-large", "--cache", "off"]
    with subprocess.Popen(asked, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(8)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert b"Traceback" not in process.stderr.read()
    assert _outcome(suite, "sim-large") == "client_gone"


def test_a_service_that_is_not_there_ends_with_3_and_says_what_to_do(tmp_path: Path) -> None:
    nowhere = {"HEADGATE_DATA_DIR": str(tmp_path), "HEADGATE_API_KEY": "hg_a_b"}
    for command, option in (
        (("models",), "--router"),
        (("whoami",), "--router"),
        (("usage",), "--router"),
        (("usage",), "--billing"),
        (("limits",), "--router"),
        (("limits", "list"), "--ratelimit"),
        (("budgets",), "--router"),
    ):
        done = run_headgate(*command, option, "127.0.0.1:1", environ=nowhere)
        _assert_refused(done, 3, "headgate up")


def test_the_credentials_are_readable_by_their_owner_only(suite: RunningSuite) -> None:
    for file in (suite.installation.credentials_file, suite.installation.token_file):
        assert file.stat().st_mode & 0o077 == 0


def _assert_refused(done: "subprocess.CompletedProcess[str]", code: int, says: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def _events(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _until_cached(suite: RunningSuite, asked: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    """The answer is stored behind the first one's end."""
    for _ in range(20):
        done = suite.headgate(*asked)
        if "cache hit" in done.stderr:
            return done
    pytest.fail("the answer was never kept")


def _await_entries(suite: RunningSuite, key_id: str, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(json.loads(suite.headgate("usage", "--entries", "--key", key_id, "--json").stdout)) < count:
        assert time.monotonic() < deadline, "the ledger does not have the rows"


def _outcome(suite: RunningSuite, model: str) -> object:
    """How the model's last request ended, as the simulator saw it."""
    deadline = time.monotonic() + 20
    while True:
        found = [record["outcome"] for record in suite.served() if record["model"] == model]
        if found and found[-1] != "running":
            return found[-1]
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
