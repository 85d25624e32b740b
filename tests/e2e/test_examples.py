"""Each example completes, streams, hangs up and understands a refusal: the same in every language."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.support.examples import README, ROOT, TOOLS, Example, clone
from tests.support.suite import RunningSuite

# The first test of a language downloads and builds.
pytestmark = pytest.mark.timeout(900)

SOURCES = ("*.go", "*.java", "*.mjs", "*.py", "*.rs")
MOST_LINES = 40
REQUESTS = 3
"""Of one run, and as many as the limit has room for: a second run is refused."""
REFILL_SECONDS = 3600
LONG = 400
"""Tokens of the answer that is hung up on, 50 ms apart."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One run of an example: what it printed, and what the model server served it, in order."""

    example: Example
    key: str
    printed: list[str]
    served: list[dict[str, Any]]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    config = yaml.safe_load((ROOT / "config/demo.yaml").read_text(encoding="utf-8"))
    bucket = {"refill_amount": REQUESTS, "refill_interval": f"{REFILL_SECONDS}s"}
    limit = {"limit_id": "few", "metric": "requests", "per": ["key"], "token_bucket": bucket}
    config["ratelimit"]["limits"] = [limit]
    with RunningSuite.running(tmp_path_factory.mktemp("suite"), config=yaml.safe_dump(config)) as running:
        yield running


@pytest.fixture(scope="module", params=list(TOOLS))
def visit(
    request: pytest.FixtureRequest, suite: RunningSuite, tmp_path_factory: pytest.TempPathFactory
) -> Visit:
    example = Example(request.param, clone(tmp_path_factory.mktemp(request.param)))
    example.build()
    suite.clear_faults()
    suite.fault({"tokens": "20"})
    suite.fault({"tokens": str(LONG), "gap": "50ms"})
    suite.fault({"tokens": "20", "ttft": "1s"})
    before, key = len(suite.served()), suite.new_key(example.language)
    done = example.run(suite.addresses.grpc["router"], key)
    assert done.returncode == 0, done.stderr
    return Visit(example, key, done.stdout.splitlines(), suite.served()[before:])


def test_it_prints_a_whole_answer_with_its_trailing_metadata_and_the_same_as_a_stream(visit: Visit) -> None:
    answer, request_id, cache, cost, _, streamed, end = visit.printed
    assert len(answer.split()) > 5
    assert re.fullmatch(r"x-request-id: [0-9a-f]{32}", request_id)
    assert cache == "x-cache: BYPASS"
    assert re.fullmatch(r"x-headgate-cost-nanos: [1-9]\d*", cost)
    assert streamed == answer
    assert re.fullmatch(rf"[1-9]\d* tokens, {cost.rpartition(' ')[2]} nano-USD", end)


def test_what_it_hangs_up_on_is_closed_at_the_provider_within_a_second(visit: Visit) -> None:
    _, hung_up_on, last = visit.served
    words = visit.printed[4].removeprefix("hung up after: ")
    assert visit.printed[0].startswith(words)
    assert hung_up_on["outcome"] == "client_gone"
    assert 0 < hung_up_on["written_tokens"] < LONG
    # By then it has asked again, and waits that second for the first token: it was not its end that closed the other.
    assert hung_up_on["ended_at"] < last["started_at"] + 1


def test_it_tells_why_it_was_refused_and_when_to_come_back(visit: Visit, suite: RunningSuite) -> None:
    refused = visit.example.run(suite.addresses.grpc["router"], visit.key)
    assert refused.returncode == 1
    assert refused.stdout == ""
    status, reason, wait = refused.stderr.splitlines()
    assert "few" in status
    assert reason == "reason: RATE_LIMITED"
    (seconds,) = re.findall(r"^again in: (\d+\.\d) s$", wait)
    assert 0 < float(seconds) <= REFILL_SECONDS / REQUESTS


def test_a_key_that_is_wrong_is_a_refusal_without_a_time(visit: Visit, suite: RunningSuite) -> None:
    refused = visit.example.run(suite.addresses.grpc["router"], "hg_wrong")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[1:] == ["reason: INVALID_KEY"]


def test_every_folder_is_run_here_and_listed() -> None:
    folders = {path.name for path in (ROOT / "examples").iterdir() if path.is_dir()}
    assert folders == set(TOOLS) == set(re.findall(r"^## \[.+\]\((\w+)\)$", README, re.MULTILINE))


def test_every_source_is_read_at_a_glance() -> None:
    sources = [path for kind in SOURCES for path in (ROOT / "examples").glob(f"*/**/{kind}")]
    sources = [path for path in sources if not {"node_modules", "target", "gen", ".venv"} & set(path.parts)]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in sources}
    assert len(lengths) >= 5 * len(TOOLS)
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
