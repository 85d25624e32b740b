"""A provider's refusals and error events as `ProviderError`; the one place that knows what they look like."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from services.router.providers.json_text import UNREADABLE
from services.router.providers.sse import ERRORS, NamedEvent
from services.router.targets.option_names import OWN
from services.router.targets.provider import LONGEST_SAID, FailureKind, ProviderError

_LONGEST_REST_SECONDS = 3600.0
LARGEST_ERROR_BYTES = 64 * 1024
NO_ERROR = msgspec.Raw(b"")
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500

_BY_STATUS = {
    401: FailureKind.CREDENTIAL,
    402: FailureKind.CREDENTIAL,
    403: FailureKind.CREDENTIAL,
    404: FailureKind.MODEL_NOT_FOUND,
    408: FailureKind.TIMEOUT,
    _TOO_MANY_REQUESTS: FailureKind.RATE_LIMITED,
}
# The words of OpenAI's `code` and `type` and of Anthropic's `type`; they say more than the status.
_BY_WORD = {
    "context_length_exceeded": FailureKind.CONTEXT_LENGTH,
    "exceed_context_size_error": FailureKind.CONTEXT_LENGTH,
    "model_not_found": FailureKind.MODEL_NOT_FOUND,
    "not_found_error": FailureKind.MODEL_NOT_FOUND,
    "insufficient_quota": FailureKind.CREDENTIAL,
    "billing_hard_limit_reached": FailureKind.CREDENTIAL,
    "billing_error": FailureKind.CREDENTIAL,
    "invalid_api_key": FailureKind.CREDENTIAL,
    "authentication_error": FailureKind.CREDENTIAL,
    "permission_error": FailureKind.CREDENTIAL,
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "overloaded_error": FailureKind.OVERLOADED,
    "server_error": FailureKind.OVERLOADED,
    "api_error": FailureKind.OVERLOADED,
    "internal_error": FailureKind.OVERLOADED,
    "timeout_error": FailureKind.OVERLOADED,
    "invalid_request_error": FailureKind.REJECTED,
    "request_too_large": FailureKind.REJECTED,
}
_CONTEXT_LENGTH = re.compile(
    r"prompt is too long|exceed(?:s|ed)? (?:the )?(?:available |maximum |model'?s? )*context"
    r"|maximum context length|context[ _](?:length|window|size) exceeded|input is too long",
    re.IGNORECASE,
)
_NAME = re.compile(r"[a-z_]+")
_FIELDS = OWN["openai"] | OWN["anthropic"]
_NO_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error object of either API says."""

    message: str = ""
    words: tuple[str, ...] = ()
    status: int | None = None
    field: str = ""


def from_refusal(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """An answer whose HTTP status is not 200."""
    error = read_error(body)
    return ProviderError(
        _kind_of_refusal(status, error),
        f"HTTP {status}, about `{error.field}`" if error.field else f"HTTP {status}",
        said=error.message or body[:LONGEST_SAID].decode("utf-8", "replace"),
        http_status=status,
        retry_after_seconds=retry_after_seconds(headers, time.time()),
    )


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
    body = _error_object(error)
    if body.status is not None:
        kind = _kind_of_refusal(body.status, body)
    else:
        kind = _kind_of_words(body) or FailureKind.INTERRUPTED
    about = f" about `{body.field}`" if body.field else ""
    message = f"the provider reported an error{about} while it answered"
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
    decoded = _decoded(body)
    return _error_object(decoded.get("error", decoded)) if isinstance(decoded, dict) else ErrorBody()


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
    if status < _SERVER_ERROR and (kind := _kind_of_words(error)) not in (None, FailureKind.REJECTED):
        return kind
    if status >= _SERVER_ERROR:
        return FailureKind.OVERLOADED
    return _BY_STATUS.get(status, FailureKind.REJECTED)


def _kind_of_words(error: ErrorBody) -> FailureKind | None:
    if _CONTEXT_LENGTH.search(error.message):
        return FailureKind.CONTEXT_LENGTH
    if _NO_CREDIT.search(error.message):
        return FailureKind.CREDENTIAL
    return next((_BY_WORD[word] for word in error.words if word in _BY_WORD), None)


def _error_object(error: Any) -> ErrorBody:
    if isinstance(error, str):
        return ErrorBody(error)
    if not isinstance(error, dict):
        return ErrorBody()
    said = error.get("message", error.get("detail", ""))
    code, kind = error.get("code"), error.get("type")
    words = tuple(word for word in (code, kind) if isinstance(word, str))
    status = code if isinstance(code, int) and not isinstance(code, bool) else None
    text = said if isinstance(said, str) else msgspec.json.encode(said).decode()
    return ErrorBody(text, words, status, _field(error.get("param")))


def _field(param: Any) -> str:
    """Which of the fields that requests have; whatever else a provider writes there is its own text."""
    named = _NAME.match(param) if isinstance(param, str) else None
    return named[0] if named is not None and named[0] in _FIELDS else ""


def _number(value: str | None) -> float | None:
    """A finite, non-negative number; None for anything else."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
