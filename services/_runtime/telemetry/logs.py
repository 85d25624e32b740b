"""Logs as JSON lines, each with the ids of the request that it belongs to."""

import logging
import sys
from typing import Any

import msgspec

from services._runtime import context

# structlog loads rich for a console's sake, which no service has: 4 MB, and a third of a start's imports.
_hides_rich = "rich" not in sys.modules
if _hides_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402 - see above

if _hides_rich:
    del sys.modules["rich"]

get_logger = structlog.get_logger
_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure_logs(service: str, level: str) -> None:
    """Every line of this process, of libraries too, becomes one JSON object on standard output."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_request,
        lambda _logger, _name, event: {**event, "service": service},
        structlog.processors.format_exc_info,
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_to_text)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # The stream is looked up for each line: a test may have replaced it since.
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    _configure_libraries(shared, max(number, logging.WARNING))


def _configure_libraries(shared: list[Any], level: int) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_to_text),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)


def _with_request(_logger: Any, _name: str, event: Any) -> Any:
    request = context.current()
    if request.request_id:
        event.setdefault("request_id", request.request_id)
    if request.trace_id:
        event.setdefault("trace_id", request.trace_id)
    for key, value in request.log_ids.items():
        event.setdefault(key, value)
    return event


def _to_text(event: Any, **_options: Any) -> str:
    return _encode(event).decode()
