"""What the error objects of providers and of the servers before them say, and what it means."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from services.router.providers.json_text import UNREADABLE
from services.router.targets.option_names import OWN
from services.router.targets.provider import FailureKind

_DEEPEST = 4
_STATUSES = range(400, 600)
_DIGITS = 3
# Of codes, types and states: they say more than the status. In small letters.
_WORDS = {
    FailureKind.CONTEXT_LENGTH: "context_length_exceeded exceed_context_size_error context_window_exceeded",
    FailureKind.MODEL_NOT_FOUND: "model_not_found not_found_error not_found model_not_supported model_not_available",
    FailureKind.CREDENTIAL: (
        "insufficient_quota billing_hard_limit_reached billing_error exceeded_current_quota_error insufficient_balance"
        " invalid_api_key api_key_invalid authentication_error permission_error permission_denied unauthenticated"
        " invalid_authentication_error unauthorized access_denied accessdeniedexception unrecognizedclientexception"
    ),
    FailureKind.RATE_LIMITED: (
        "rate_limit_exceeded rate_limit_error rate_limit_reached_error resource_exhausted throttling throttlingexception"
        " too_many_requests toomanyrequests"
    ),
    FailureKind.OVERLOADED: (
        "overloaded_error server_error api_error internal_error internal_server_error timeout_error unavailable internal"
        " deadline_exceeded engine_overloaded_error model_overloaded service_unavailable serviceunavailableexception"
    ),
    FailureKind.FILTERED: (
        "content_filter content_policy_violation responsibleaipolicyviolation data_inspection_failed datainspectionfailed"
        " moderation_blocked content_moderation flagged_input input_flagged"
    ),
    FailureKind.REJECTED: "invalid_request_error request_too_large invalid_argument bad_request badrequesterror",
}
_BY_WORD = {word: kind for kind, words in _WORDS.items() for word in words.split()}
# What is said where no word tells it, in the order in which it counts.
_BY_TEXT = (
    (
        FailureKind.CONTEXT_LENGTH,
        (
            r"(?:prompt|input|conversation|messages?|sequence|request)\b[^.]{0,24} too (?:long|large for)"
            r"|too many (?:input |prompt )?tokens"
            r"|(?:exceed|longer|larger|greater|more)\w*\b[^.]{0,60}\b(?:context|token limit|model length|maximum (?:model|number of tokens))"
            r"|(?:maximum|max)[ _](?:context|prompt|input|sequence|model)[ _](?:length|size|window|tokens)"
            r"|context[ _](?:length|window|size)[ _](?:exceeded|overflow)"
            r"|`?inputs`? tokens \+|range of input length|reduce the length of|reduce your (?:message|prompt)"
        ),
    ),
    (
        FailureKind.UNAFFORDABLE,
        r"fewer (?:max_)?tokens|can only afford",
    ),
    (
        FailureKind.FILTERED,
        (
            r"flagged|moderation|content (?:policy|filter|management)|safety (?:system|filter|policy|setting)"
            r"|inappropriate content|prohibited content|usage polic"
        ),
    ),
    (
        FailureKind.MODEL_NOT_FOUND,
        (
            r"invalid model name|(?:unknown|no such) model"
            r"|model\b[^.]{0,60} (?:not found|does(?: not|n't) exist|is not available)"
        ),
    ),
    (
        FailureKind.CREDENTIAL,
        (
            r"credit balance is too low|insufficient (?:balance|credit|quota|funds)|exceeded your current quota"
            r"|api[ _-]?key[^.]{0,24}(?:not valid|invalid|incorrect|expired|missing|not found|required|disabled)"
            r"|(?:invalid|incorrect|expired|missing|no|bad|wrong|unknown) (?:x-)?api[ _-]?key"
            r"|(?:invalid|expired|missing) (?:access |bearer |auth\w* )?token\b|unauthorized|authentication (?:fail|required)"
        ),
    ),
)
_TEXTS = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _BY_TEXT)
_FIELDS = OWN["openai"] | OWN["anthropic"]
_NAME = re.compile(r"[a-z_]+")
_QUOTED = re.compile(r"[`'\"]([a-z_]{1,40})[`'\"]|\b([a-z]+(?:_[a-z]+)+)\b")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """`words` are its codes, types and states in small letters, `status` the HTTP status that it names itself."""

    message: str = ""
    words: tuple[str, ...] = ()
    status: int | None = None
    field: str = ""


def kind_of(error: ErrorBody) -> FailureKind | None:
    """What it means, whatever the status around it; None where nothing in it says so."""
    by_text = next((kind for kind, text in _TEXTS if text.search(error.message)), None)
    if by_text in (FailureKind.CONTEXT_LENGTH, FailureKind.UNAFFORDABLE):
        return by_text
    by_word = next(
        (
            _BY_WORD[word]
            for word in error.words
            if _BY_WORD.get(word, FailureKind.REJECTED) is not FailureKind.REJECTED
        ),
        None,
    )
    return by_word or by_text or next((_BY_WORD[word] for word in error.words if word in _BY_WORD), None)


def read_error_of(error: Any) -> ErrorBody:
    """Of decoded JSON, in any of the forms that servers give an error."""
    found = list(_objects_in(error, _DEEPEST))
    texts = [text for each in found for text in _texts_of(each)]
    words = [word for each in found for word in _words_of(each)]
    statuses = (status for each in found for status in _statuses_of(each))
    fields = (field for each in found for field in _fields_of(each))
    message = next((text for text in texts if text), "")
    return ErrorBody(
        message,
        tuple(word.lower() for word in words),
        next(statuses, None),
        next(fields, "") or _field_in(message),
    )


def _objects_in(value: Any, deep: int) -> Iterator[Any]:
    """Texts and objects, the innermost first: those around them only say that there was an error."""
    if isinstance(value, list):
        for each in value[:4]:
            yield from _objects_in(each, deep - 1) if deep else ()
    elif isinstance(value, str):
        inner = _as_json(value)
        if inner is not None and deep:
            yield from _objects_in(inner, deep - 1)
        else:
            yield value
    elif isinstance(value, dict):
        for name in (
            "error",
            "errors",
            "detail",
            "details",
            "message",
            "metadata",
            "innererror",
            "fault",
            "body",
        ):
            if deep and isinstance(value.get(name), dict | list | str):
                yield from _objects_in(value[name], deep - 1)
        yield value


def _as_json(text: str) -> Any:
    """What a proxy put into a text."""
    start = text.find("{")
    if start < 0 or not text.rstrip().endswith("}"):
        return None
    try:
        return msgspec.json.decode(text[start:].encode())
    except UNREADABLE:
        return None


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        names = (
            "message",
            "msg",
            "detail",
            "details",
            "error_description",
            "faultstring",
            "title",
            "raw",
            "reason",
        )
        yield from (value[name] for name in names if isinstance(value.get(name), str))


def _words_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        names = ("code", "type", "status", "reason", "error", "error_code", "__type")
        yield from (value[name].rpartition("#")[2] for name in names if isinstance(value.get(name), str))


def _statuses_of(value: Any) -> Iterator[int]:
    for name in ("code", "status", "status_code", "statusCode") if isinstance(value, dict) else ():
        told = value.get(name)
        number = (
            int(told)
            if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) == _DIGITS
            else told
        )
        if isinstance(number, int) and number in _STATUSES:
            yield number


def _fields_of(value: Any) -> Iterator[str]:
    """Which of the fields that requests have; whatever else a provider writes there is its own text."""
    if not isinstance(value, dict):
        return
    where = value.get("loc")
    for told in (value.get("param"), value.get("field"), *(where if isinstance(where, list) else ())):
        named = _NAME.match(told) if isinstance(told, str) else None
        if named is not None and named[0] in _FIELDS:
            yield named[0]


def _field_in(message: str) -> str:
    names = (quoted or bare for quoted, bare in _QUOTED.findall(message[:2000]))
    return next((name for name in names if name in _FIELDS), "")
