"""A provider's refusals and error events as `ProviderError`; the one place that knows what they look like."""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from services.router.providers.error_bodies import ErrorBody, kind_of, read_error_of
from services.router.providers.json_text import UNREADABLE
from services.router.providers.sse import ERRORS, NamedEvent
from services.router.targets.provider import LONGEST_SAID, FailureKind, ProviderError

_LONGEST_REST_SECONDS = 3600.0
LARGEST_ERROR_BYTES = 64 * 1024
_TOO_MANY_REQUESTS = 429
_BAD_REQUEST = 400
_SERVER_ERROR = 500

_BY_STATUS = {
    401: FailureKind.CREDENTIAL,
    402: FailureKind.CREDENTIAL,
    403: FailureKind.CREDENTIAL,
    404: FailureKind.MODEL_NOT_FOUND,
    408: FailureKind.TIMEOUT,
    # A conflict, a dependency that failed, a request too early, one that the provider gave up.
    409: FailureKind.OVERLOADED,
    410: FailureKind.MODEL_NOT_FOUND,
    424: FailureKind.OVERLOADED,
    425: FailureKind.OVERLOADED,
    _TOO_MANY_REQUESTS: FailureKind.RATE_LIMITED,
    498: FailureKind.RATE_LIMITED,
    499: FailureKind.OVERLOADED,
}
_ASKS_TO_LOOK_AT = {
    FailureKind.CREDENTIAL: "the provider's `api_key`",
    FailureKind.MODEL_NOT_FOUND: "the provider's `base_url` and the target's `model`",
    FailureKind.REJECTED: "the server's own log, and whether it takes the fields and headers that are sent",
}
_MEANINGS = {
    FailureKind.CONTEXT_LENGTH: "the prompt, with the answer asked for, is too long for the model",
    FailureKind.FILTERED: "the provider's filter refused the content",
    FailureKind.UNAFFORDABLE: "what is left of the provider's credit does not pay for so many tokens; fewer may pass",
}


def from_refusal(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """An answer whose HTTP status is not 200."""
    error = read_error(body)
    kind = _kind_of_refusal(status, error)
    return ProviderError(
        kind,
        f"HTTP {status}{_told(kind, error)}" if body.strip() else _unexplained(status, kind),
        said=error.message or body[:LONGEST_SAID].decode("utf-8", "replace"),
        http_status=status,
        retry_after_seconds=retry_after_seconds(headers, time.time()),
    )


def _told(kind: FailureKind, error: ErrorBody) -> str:
    """What callers are told of it: our words, the name of a field that requests have, and how many tokens."""
    about = f", about `{error.field}`" if error.field else ""
    if kind not in _MEANINGS:
        return about
    numbers = re.findall(r"(?<![\w.])\d[\d,]{2,9}(?![\w.]*\w)", error.message)
    named = f" (it names {' and '.join(dict.fromkeys(numbers[:3]))} tokens)" if numbers else ""
    return f"{about}: {_MEANINGS[kind]}{'' if kind is FailureKind.FILTERED else named}"


def _unexplained(status: int, kind: FailureKind) -> str:
    look = _ASKS_TO_LOOK_AT.get(kind, "the server's own log")
    return f"HTTP {status} with an empty body, so look at {look}"


def check_reported(error: msgspec.Raw) -> None:
    """An empty one is none.

    :raises ProviderError: the answer, which began well, has an error in it
    """
    if bytes(error) not in (b"", b"null", b"{}", b'""', b"[]", b"false", b"0"):
        raise from_event(_decoded(bytes(error)))


def check_named(event: bytes) -> None:
    """:raises ProviderError: the event's name says that it is an error, whatever is in it"""
    if isinstance(event, NamedEvent) and event.name in ERRORS:
        text = event[len(event.name) :].strip()
        decoded = _decoded(text)
        said = decoded.get("error", decoded) if isinstance(decoded, dict) else text.decode("utf-8", "replace")
        raise from_event(said)


def from_event(error: Any) -> ProviderError:
    """An error object inside an answer that began well."""
    body = read_error_of(error)
    if body.status is not None:
        kind = _kind_of_refusal(body.status, body)
    else:
        kind = kind_of(body) or FailureKind.INTERRUPTED
    message = f"the provider reported an error while it answered{_told(kind, body)}"
    return ProviderError(kind, message, said=body.message)


def nothing_said(body: bytes) -> ProviderError:
    """An answer under status 200 that has nothing of one: perhaps a failure, told as such bodies are."""
    if not (reported := read_error(body)).message:
        return malformed("an answer that says nothing")
    return from_event({"message": reported.message, "type": next(iter(reported.words), None)})


def malformed(what: str, said: object = "") -> ProviderError:
    return ProviderError(FailureKind.MALFORMED, what, said=str(said))


def interrupted(what: str) -> ProviderError:
    return ProviderError(FailureKind.INTERRUPTED, what)


def read_error(body: bytes) -> ErrorBody:
    return read_error_of(_decoded(body))


def _decoded(text: bytes) -> Any:
    """None for what is no JSON, or too long to be worth reading: it could be of any shape."""
    try:
        return msgspec.json.decode(text) if len(text) <= LARGEST_ERROR_BYTES else None
    except UNREADABLE:
        return None


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait as the provider says, in milliseconds, seconds or a date, at most an hour; `now` in Unix seconds."""
    wait = _told_wait(headers, now)
    return None if wait is None else min(max(0.0, wait), _LONGEST_REST_SECONDS)


def _told_wait(headers: Mapping[str, str], now: float) -> float | None:
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        return parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return None


def _kind_of_refusal(status: int, error: ErrorBody) -> FailureKind:
    meant = kind_of(error)
    if status >= _SERVER_ERROR:
        # Servers that fail by a prompt's length or content say so, and would do so again; other words are of their insides.
        return meant if meant is not None and meant in _MEANINGS else FailureKind.OVERLOADED
    if meant is FailureKind.CREDENTIAL and status == _TOO_MANY_REQUESTS and not error.words:
        return FailureKind.RATE_LIMITED
    if meant is not None and meant is not FailureKind.REJECTED:
        return meant
    if status == _BAD_REQUEST and error.status is not None:
        return _BY_STATUS.get(error.status, FailureKind.REJECTED)
    return _BY_STATUS.get(status, FailureKind.REJECTED)


def _number(value: str | None) -> float | None:
    """A finite, non-negative number; None for anything else."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
