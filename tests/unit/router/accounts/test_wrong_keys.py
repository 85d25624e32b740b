"""Wrong keys are counted one by one, told in the log once in a while, and answered slowly."""

from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services._runtime.telemetry.masking import Masking
from services.router.accounts.wrong_keys import (
    ANSWERS_PER_SECOND,
    AT_ONCE,
    KINDS,
    MOST_WAITING,
    Pace,
    Sample,
    WrongKeys,
)
from services.router.metrics import RouterMetrics


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def warning(self, event: str, **said: Any) -> None:
        self.told.append({"event": event, **said})


def test_a_few_are_answered_at_once_and_many_one_after_the_other() -> None:
    pace = Pace()
    waits = [pace.wait_seconds(100.0) for _ in range(int(AT_ONCE) + 200)]
    assert not any(waits[: int(AT_ONCE)])
    assert abs(waits[-1] - 200 / ANSWERS_PER_SECOND) < 1e-6


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=500))
def test_no_second_has_more_answers_than_there_may_be(gaps: list[float]) -> None:
    pace, now, answered = Pace(), 50.0, []
    for gap in gaps:
        now += gap
        answered.append(now + pace.wait_seconds(now))
    for begin in answered:
        assert sum(begin <= at < begin + 1 for at in answered) <= ANSWERS_PER_SECOND + AT_ONCE + 1


def test_too_many_are_not_kept_waiting() -> None:
    pace = Pace()
    waits = [pace.wait_seconds(100.0) for _ in range(3 * MOST_WAITING)]
    assert sum(wait > 0 for wait in waits) == MOST_WAITING
    assert waits[-1] == 0.0
    # A second later there is room for as many as were answered meanwhile.
    assert sum(pace.wait_seconds(101.0) > 0 for _ in range(MOST_WAITING)) in range(199, 202)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=100))
def test_no_second_has_two_lines_and_no_call_is_told_twice(gaps: list[float]) -> None:
    sample, now, lines = Sample(), 10.0, []
    for number, gap in enumerate(gaps, start=1):
        now += gap
        if told := sample.due(now):
            lines.append((now, told))
            assert sum(each for _, each in lines) == number
    assert all(later - earlier > 1.0 - 1e-9 for (earlier, _), (later, _) in pairwise(lines))


def test_each_is_counted_and_a_line_tells_how_many_there_were() -> None:
    counted: Counter[str] = Counter()
    lines, clock = Lines(), [10.0]
    wrong = WrongKeys(lambda kind: counted.update([kind]), lines, lambda: clock[0])
    for second in range(3):
        clock[0] = 10.0 + second
        for _ in range(1_000):
            wrong.tell("unknown", key_id="k", address="10.0.0.7")
            wrong.tell("malformed", address="10.0.0.7")
    assert counted == {"unknown": 3_000, "malformed": 3_000}
    assert [(line["kind"], line["count"]) for line in lines.told] == [
        ("unknown", 1),
        ("malformed", 1),
        ("unknown", 1_000),
        ("malformed", 1_000),
        ("unknown", 1_000),
        ("malformed", 1_000),
    ]
    assert lines.told[0] == {
        "event": "wrong API keys", "kind": "unknown", "count": 1, "key_id": "k", "address": "10.0.0.7",
    }  # fmt: skip


def test_each_kind_is_a_time_series_from_the_start() -> None:
    registry = CollectorRegistry()
    metrics = RouterMetrics(registry, None, frozenset(), Masking(()))
    metrics.wrong_key("checksum")
    found = {
        kind: registry.get_sample_value("headgate_router_wrong_keys_total", {"kind": kind}) for kind in KINDS
    }
    assert found == {"malformed": 0, "checksum": 1, "unknown": 0, "revoked": 0, "throttled": 0}
