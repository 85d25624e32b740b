"""Log lines, as they leave a process."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services._runtime import context
from services._runtime.configuration.settings import Secret
from services._runtime.context import RequestContext
from services._runtime.telemetry.logs import configure_logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_a_line_is_json_and_carries_the_requests_ids(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("router", "info")
    context.enter(
        RequestContext(request_id="r1", trace_id="t1", log_ids={"organization_id": "o1", "key_id": "k1"})
    )
    structlog.get_logger().info("settled", tokens=7, key=Secret("hg_1_secret"))
    (line,) = lines(capsys)
    assert line.pop("timestamp")
    assert line == {
        "event": "settled",
        "level": "info",
        "service": "router",
        "request_id": "r1",
        "trace_id": "t1",
        "organization_id": "o1",
        "key_id": "k1",
        "tokens": 7,
        "key": "***",
    }


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("router", "warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_a_librarys_own_log_has_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("router", "info")
    logging.getLogger("some.library").error("it %s", "failed", exc_info=ValueError("odd"))
    (line,) = lines(capsys)
    assert (line["event"], line["logger"], line["service"]) == ("it failed", "some.library", "router")
    assert "ValueError: odd" in str(line["exception"])
