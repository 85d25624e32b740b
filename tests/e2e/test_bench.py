"""The benchmark's harness: one short round of each kind, with the floor and a Headgate; figures are not judged here."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from bench.comparison import compare
from bench.contenders.contender import AbsentError, Contender, Place, Running
from bench.contenders.headgate import Shape, headgate
from bench.contenders.simple import DIRECT, FLOOR
from bench.generator.window import Seen, Target, Window
from bench.lab import Lab
from bench.load import LoadGenerator
from bench.report import problems_of, table
from bench.rounds import Row, cpu_ms, middle
from bench.scenarios import BY_NAME
from cli.suite.signals import StopSignals

pytestmark = pytest.mark.timeout(90)
_SECONDS = 0.2


def _absent(_place: Place) -> Iterator[Running]:
    raise AbsentError("is not installed")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("bench")
    missing = Contender("missing", _absent)  # type: ignore[arg-type]
    with StopSignals() as signals:
        contenders = [DIRECT, FLOOR, headgate(signals, Shape(organizations=2)), missing]
        with Lab.open(contenders, folder) as opened:
            yield opened


def _rows(lab: Lab, scenario: str) -> dict[str, Row]:
    rows = compare(lab, BY_NAME[scenario], 1, _SECONDS, lambda _what: None)
    assert not [each for row in rows for each in row.rounds if each.errors], problems_of(rows)
    return {row.contender: row for row in rows}


def test_a_contender_that_is_absent_has_a_row_that_says_why(lab: Lab) -> None:
    rows = _rows(lab, "unary-miss-lone")
    assert rows["missing"].why_not == "is not installed"
    assert not rows["missing"].rounds
    assert table(list(rows.values())).row_count == 4


def test_cpu_is_accounted_to_each_service_and_not_to_the_load(lab: Lab) -> None:
    rows = _rows(lab, "unary-miss")
    (measured,) = rows["headgate"].rounds
    assert set(measured.cpu) == {"router", "cache", "ratelimit", "billing"}
    assert (middle(rows["headgate"], cpu_ms) or 0) > (middle(rows["floor"], cpu_ms) or 0) > 0
    assert middle(rows["direct"], cpu_ms) == 0
    assert measured.generator_cpu > 0


def test_hits_do_not_reach_the_upstream_and_misses_do(lab: Lab) -> None:
    (hit,) = _rows(lab, "unary-hit")["headgate"].rounds
    assert (hit.cache_hits, hit.upstream_requests) == (hit.requests, 0)
    (miss,) = _rows(lab, "unary-miss")["headgate"].rounds
    assert (miss.cache_hits, miss.upstream_requests) == (0, miss.requests)


def test_streams_are_timed_from_their_first_token_to_their_longest_gap(lab: Lab) -> None:
    scenario = BY_NAME["paced"]
    window = replace(scenario.window, concurrency=4, requests=8, seconds=_SECONDS, ramp_seconds=0.0)
    measured = lab.round("headgate", window)
    assert measured.errors == 0, measured.first_error
    # 64 tokens 5 ms apart take at least 315 ms.
    assert measured.p50_us >= 315_000
    assert 0 < measured.first_token_p50_us < measured.p50_us
    assert measured.longest_gap_us > 0


def test_a_wrong_answer_is_an_error(lab: Lab) -> None:
    """The floor echoes, which no client of a gateway takes for an answer."""
    seen = _load_floor_as_a_gateway(lab)
    assert seen.errors > 0
    assert seen.first_error


def _load_floor_as_a_gateway(lab: Lab) -> Seen:
    target = Target("headgate", lab.members["floor"].running.target.address)
    with LoadGenerator.running(target) as load:
        return load.run(Window(streamed=False, concurrency=1, seconds=_SECONDS))


def test_the_books_balance_at_the_end(lab: Lab) -> None:
    (verdict,) = lab.verdicts()
    assert verdict.balances, verdict
