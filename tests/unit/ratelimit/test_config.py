"""Limits declared in the file, and the errors that it gives."""

from pathlib import Path

import pytest

from services._runtime.configuration.config import ConfigError, read_section
from services.ratelimit.config import RateLimitSection
from services.ratelimit.limit import (
    Dimension,
    Limit,
    Metric,
    Selector,
    SlidingWindow,
    Source,
    StoreLossPolicy,
    TokenBucket,
)


def read(tmp_path: Path, limit: str) -> list[Limit]:
    path = tmp_path / "headgate.yaml"
    path.write_text(f"ratelimit:\n  limits:\n    - limit_id: one\n{limit}")
    return [each.limit() for each in read_section(path, "ratelimit", RateLimitSection).limits]


def problem(tmp_path: Path, limit: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, limit)
    return str(caught.value)


def test_without_a_section_nothing_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "headgate.yaml"
    path.write_text("cache: {}\n")
    assert read_section(path, "ratelimit", RateLimitSection).limits == ()


def test_a_limit_has_the_contracts_fields(tmp_path: Path) -> None:
    (limit,) = read(
        tmp_path,
        """      selector: {organization_id: acme, user_id: u, key_id: k, model: m, labels: {a: b}}
      per: [user, MODEL]
      metric: METRIC_TOTAL_TOKENS
      token_bucket: {refill_amount: 5, refill_interval: 1.5s, burst: 9}
      shadow: true
      store_loss_policy: closed
""",
    )
    assert limit == Limit(
        "one",
        Metric.TOTAL_TOKENS,
        TokenBucket(5, 1_500_000, 9),
        Selector("acme", "u", "k", "m", {"a": "b"}),
        (Dimension.USER, Dimension.MODEL),
        shadow=True,
        store_loss_policy=StoreLossPolicy.CLOSED,
        source=Source.FILE,
    )


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400), ("30d", 2_592_000), ("60", 60)]
)
def test_durations(tmp_path: Path, written: str, seconds: int) -> None:
    (limit,) = read(
        tmp_path, f"      metric: requests\n      sliding_window: {{maximum: 1, window: {written}}}\n"
    )
    assert limit.algorithm == SlidingWindow(1, seconds * 1_000_000)


WINDOW = "      sliding_window: {maximum: 1, window: 1m}\n"


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("      metric: requests\n", "set exactly one of token_bucket, sliding_window"),
        (f"      metric: tokens\n{WINDOW}", ":4: ratelimit.limits.0.metric: one of requests,"),
        (f"      metric: concurrent_requests\n{WINDOW}", "NOT_IMPLEMENTED"),
        ("      metric: requests\n      calendar_window: {maximum: 1, period: day}\n", "NOT_IMPLEMENTED"),
        ("      metric: requests\n      concurrency: {maximum: 1}\n", "limits.0.concurrency: is in the"),
        (f"      metric: requests\n{WINDOW}      store_loss_policy: local_share\n", "NOT_IMPLEMENTED"),
        (f"      metric: requests\n{WINDOW}      shadows: true\n", ":6: ratelimit.limits.0.shadows: unknown"),
        (f"      metric: requests\n      per: [user, user]\n{WINDOW}", "names a dimension twice"),
        ("      metric: requests\n      sliding_window: {maximum: 0, window: 1m}\n", ":5: "),
        ("      metric: requests\n      sliding_window: {maximum: 1, window: soon}\n", "such as 500ms, 60s"),
        (
            "      metric: requests\n      sliding_window: {maximum: 1, window: 1ms}\n",
            "greater than or equal",
        ),
        (f"      metric: requests\n{WINDOW}    - limit_id: one\n      metric: requests\n{WINDOW}", "twice"),
        (f"      metric: requests\n{WINDOW}    - limit_id: No\n      metric: requests\n{WINDOW}", "limit_id"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, limit: str, said: str) -> None:
    assert said in problem(tmp_path, limit)
