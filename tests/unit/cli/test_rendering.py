"""What commands print: amounts, bars, tables, streams."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from cli import limits, mine, output, periods, usage_report
from cli.accounts import key_id_of
from cli.completions import StreamView, build_request, summary_line
from headgate.billing.v1 import budget_pb2, usage_pb2
from headgate.chat.v1 import message_pb2
from headgate.common.v1 import cache_status_pb2, outcome_pb2
from headgate.ratelimit.v1 import limit_pb2
from headgate.router.v1 import completion_pb2 as pb
from headgate.router.v1 import mine_pb2


def rendered(table: Table | str) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (10_000_000, "$0.01"),
        (1_234_500_000_000, "$1,234.50"),
        (-5, "-$0.000000005"),
    ],
)
def test_money_is_shown_exactly(nanos: int, text: str) -> None:
    assert output.usd(nanos) == text


@given(st.integers(0, 10**18))
def test_no_amount_loses_a_nano(nanos: int) -> None:
    whole, _, fraction = output.usd(nanos).removeprefix("$").replace(",", "").partition(".")
    assert int(whole) * 10**9 + int(fraction.ljust(9, "0")) == nanos


@given(used=st.integers(0, 10**6), limit=st.integers(1, 10**6))
def test_a_bar_is_full_only_when_the_limit_is_and_empty_only_when_nothing_is_used(
    used: int, limit: int
) -> None:
    bar = mine.bar(used, limit)
    assert ("░" not in bar) == (used >= limit)
    assert ("█" in bar) == (used > 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("h", timedelta(hours=1)),
        ("30d", timedelta(30)),
    ],
)
def test_periods_are_numbers_with_a_unit(text: str, expected: timedelta) -> None:
    assert periods.period(text) == expected


@pytest.mark.parametrize("text", ["", "5", "0s", "-3m", "1y", "soon"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not a period"):
        periods.period(text)


def test_since_takes_a_day_a_moment_or_how_long_ago() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert periods.since("2026-11-01", now) == datetime(2026, 11, 1, tzinfo=UTC)
    assert periods.since("2026-11-01T10:00:00+02:00", now) == datetime(2026, 11, 1, 8, tzinfo=UTC)
    assert periods.since("2d", now) == datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_limit_on_cost_is_given_in_dollars() -> None:
    limit = limits.build("spend", "cost", rate="0.5/1h", burst="$2")
    assert limit.metric == limit_pb2.METRIC_COST_NANOS
    assert limit.token_bucket.refill_amount == 500_000_000
    assert limit.token_bucket.burst == 2_000_000_000
    assert "$0.50 every 1 h, $2.00 at once" in rendered(limits.declared([limit]))


def test_a_window_says_what_it_binds_and_counts() -> None:
    limit = limits.build("team", "total-tokens", window="100_000/1d")
    limits.select(limit, {"organization_id": "acme", "user_id": "", "key_id": "", "model": "fast"})
    limit.per.append(limits.dimension("user"))
    row = rendered(limits.declared([limit]))
    for words in ("total tokens", "100,000 in any 1 day", "organization acme, model fast", "user"):
        assert words in row


def test_a_limit_that_is_closed_while_it_is_lost_says_so() -> None:
    limit = limits.build("spend", "cost", window="5/1d")
    assert "refuses" not in rendered(limits.declared([limit]))
    limit.store_loss_policy = limits.loss_policy("closed")
    assert "spend (refuses while it can't be decided)" in rendered(limits.declared([limit]))


def limit_told(limit_id: str, **fields: Any) -> mine_pb2.MyLimit:
    return mine_pb2.MyLimit(
        limit_id=limit_id, metric=limit_pb2.METRIC_REQUESTS, scope=mine_pb2.SCOPE_USER, limit=10, **fields
    )


def line_of(name: str, table: Table | str) -> str:
    return next(line for line in rendered(table).splitlines() if name in line)


def test_limits_show_whom_they_count_what_is_left_and_when_it_is_free_again() -> None:
    standing = mine_pb2.MyLimitStanding(used=6, remaining=4)
    standing.reset_after.FromSeconds(90)
    line = line_of("team", mine.limits_table([limit_told("team", standings=[standing])]))
    for words in ("any", "requests", "my user", "60%", "4", "10", "1 min 30 s"):
        assert words in line


def test_a_limit_that_counts_models_apart_has_a_line_for_each() -> None:
    standings = [
        mine_pb2.MyLimitStanding(model=model, used=used, remaining=10 - used)
        for model, used in (("large", 0), ("small", 10))
    ]
    table = mine.limits_table([limit_told("each", standings=standings, shadow=True)])
    assert "  0%" in line_of("large", table)
    assert "100%" in line_of("small", table)
    assert "each (only reports)" in line_of("small", table)


def test_budgets_show_what_is_spent_held_and_left() -> None:
    budget = mine_pb2.MyBudget(
        budget_id="team",
        scope=mine_pb2.SCOPE_ORGANIZATION,
        period=budget_pb2.BUDGET_PERIOD_TOTAL,
        limit_nanos=10**10,
        spent_nanos=10**9,
        held_nanos=10**9,
        remaining_nanos=8 * 10**9,
        soft=True,
    )
    line = line_of("team", mine.budgets_table([budget]))
    for words in ("(only reports)", "my organization", "total", "20%", "$1.00", "$8.00", "$10.00", "never"):
        assert words in line


def test_that_nothing_binds_is_said_in_words() -> None:
    assert mine.limits_table([]) == "no limit binds this key"
    assert mine.budgets_table([]) == "no budget binds this key"


def test_whose_key_it_is_is_told_with_when_it_ends() -> None:
    told = mine_pb2.Myself(organization_id="acme", user_id="ann", key_id="k1", display_name="laptop")
    assert line_of("k1", mine.identity(told)).split()[:4] == ["k1", "acme", "ann", "laptop"]
    assert "never" in line_of("k1", mine.identity(told))
    told.expire_time.FromSeconds(4_000_000_000)
    assert "2096" in line_of("k1", mine.identity(told))


def usage_row(model: str, attempts: int, cost: int, unpriced: int = 0) -> usage_pb2.UsageRow:
    row = usage_pb2.UsageRow(model=model, day="2026-11-23", attempts=attempts, cache_hits=1, cost_nanos=cost)
    row.usage.input_tokens, row.usage.output_tokens, row.unpriced_attempts = 10, 20, unpriced
    return row


def test_usage_adds_up_under_its_rows() -> None:
    report = usage_report.SumReport([usage_row("a", 3, 10**9), usage_row("b", 2, 10**9, 1)], ["day", "model"])
    total = next(line for line in rendered(report.table()).splitlines() if "total" in line)
    assert total.split() == ["total", "5", "2", "20", "40", "$2.00", "(1", "without", "a", "price)"]


def test_usage_over_everything_has_no_dimension_columns() -> None:
    assert "$3.00" in rendered(usage_report.SumReport([usage_row("", 1, 3 * 10**9)], []).table())


def test_csv_keeps_the_units_of_the_contract() -> None:
    rows = list(usage_report.SumReport([usage_row("a, b", 3, 7)], ["model"]).csv_rows())
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    read = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert read[0]["model"] == "a, b"
    assert read[0]["cost_nanos"] == "7"


def test_a_request_with_instructions_becomes_two_messages() -> None:
    request = build_request("Hi", "fast", system="Be short", max_tokens=5, temperature=0.0, cache="refresh")
    assert not request.prompt
    assert [message.role for message in request.messages] == [message_pb2.ROLE_SYSTEM, message_pb2.ROLE_USER]
    assert (request.max_output_tokens, request.temperature) == (5, 0.0)
    assert request.cache.mode == pb.CACHE_MODE_REFRESH


def test_a_request_leaves_out_what_was_not_said() -> None:
    request = build_request("Hi", "fast")
    assert request == pb.CompletionRequest(model="fast", prompt="Hi")


@pytest.mark.parametrize("key", ["hg_abc_secret", "abc"])
def test_a_key_can_be_named_whole_or_by_its_id(key: str) -> None:
    assert key_id_of(key) == "abc"


def test_a_stream_is_printed_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    view = StreamView(output.stdout(), output.stderr(), started_at=0.0)
    events = [
        pb.CompletionEvent(started=pb.Started(served_model="m", provider="p")),
        pb.CompletionEvent(delta=pb.Delta(reasoning=message_pb2.Reasoning(text="hm"))),
        pb.CompletionEvent(delta=pb.Delta(text="Hello ")),
        pb.CompletionEvent(
            failed_over=pb.FailedOver(
                from_target_id="a", to_target_id="b", reason="[cut]", content_restarts=True
            )
        ),
        pb.CompletionEvent(delta=pb.Delta(text="Hello")),
        pb.CompletionEvent(finished=pb.Finished(outcome=outcome_pb2.OUTCOME_COMPLETE)),
    ]
    for event in events:
        view.show(event)
    view.end_line()
    printed = capsys.readouterr()
    assert printed.out == "hm\nHello \nHello\n"
    assert printed.err == "a failed ([cut]); with b the answer begins anew:\n"


def test_the_summary_says_what_the_answer_took() -> None:
    started = pb.Started(served_model="m", provider="p", cache_status=cache_status_pb2.CACHE_STATUS_MISS)
    finished = pb.Finished(outcome=outcome_pb2.OUTCOME_TRUNCATED)
    finished.usage.input_tokens, finished.usage.output_tokens = 1200, 34
    finished.cost.amount_nanos = 12_300
    assert summary_line(started, finished, 0.5, 0.1) == (
        "m by p · 1,200 + 34 tokens · $0.0000123 · cache miss · 0.50 s, first token after 0.10 s · truncated"
    )


def test_a_cost_that_is_not_known_is_not_shown_as_nothing() -> None:
    finished = pb.Finished(outcome=outcome_pb2.OUTCOME_COMPLETE)
    assert "cost not known yet" in summary_line(pb.Started(), finished, 0.5, None)
    finished.cost.unpriced = True
    assert "no price known" in summary_line(pb.Started(), finished, 0.5, None)
