"""The request that the current task serves."""

from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

REQUEST_ID_KEY = "x-request-id"
"""The metadata that names a request, in and out."""


@dataclass(slots=True)
class RequestContext:
    """Who asks, until when, and under which ids.

    `principal` is what the service's authentication hook returned. `deadline` is a time of `time.monotonic()`, or
    None when the caller set none. `trace_id` and `span_id` are lower-case hex, empty when the request has no trace.
    `trailing_metadata` goes out with the call's end: metadata sent before would cost a frame of its own, a tenth of a unary
    call's CPU. `log_ids` are bound to every log line (organisation, key, user).
    """

    request_id: str = ""
    method: str = ""
    principal: Any = None
    deadline: float | None = None
    trace_id: str = ""
    span_id: str = ""
    sampled: bool = False
    links: tuple[tuple[str, str], ...] = ()
    trailing_metadata: list[tuple[str, str]] = field(default_factory=list)
    log_ids: dict[str, str] = field(default_factory=dict)

    def remaining_seconds(self, now: float) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - now)

    @property
    def traceparent(self) -> str | None:
        """The W3C header that makes a call a child of this request's span."""
        if not self.trace_id:
            return None
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


_OUTSIDE = RequestContext()
_current: ContextVar[RequestContext] = ContextVar("headgate_request", default=_OUTSIDE)


def current() -> RequestContext:
    """The request being served; an empty one outside of any."""
    return _current.get()


def enter(context: RequestContext) -> None:
    """Make `context` current in this task and in those it starts from now on."""
    _current.set(context)


def detach() -> RequestContext:
    """Free the current task from its request's deadline, for work that must outlive the call; ids stay."""
    context = replace(_current.get(), deadline=None)
    _current.set(context)
    return context
