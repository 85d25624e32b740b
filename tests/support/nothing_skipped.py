"""With HEADGATE_TEST_REQUIRE_SERVERS=1 a test that skips has failed, unless its reason is in `ALLOWED`.

Otherwise a run that proves nothing would look like one that proves everything.
"""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

ALLOWED: tuple[str, ...] = ("../shared is absent",)
"""How reasons begin that are no server's absence."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return judged((yield))


def judged(report: Report) -> Report:
    if os.environ.get("HEADGATE_TEST_REQUIRE_SERVERS") != "1" or not report.skipped:
        return report
    reason = reason_of(report)
    if hasattr(report, "wasxfail") or reason.startswith(ALLOWED):
        return report
    report.outcome = "failed"
    report.longrepr = f"skipped, and HEADGATE_TEST_REQUIRE_SERVERS=1: {reason}"
    return report


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
