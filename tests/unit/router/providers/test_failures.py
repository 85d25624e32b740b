"""What providers say of their failures, in Headgate's terms."""

import pytest

from services.router.providers.failures import from_event, from_refusal, retry_after_seconds
from services.router.targets.provider import FailureKind

NOON = 1_700_000_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "2", "retry-after-ms": "10"}, 0.01),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e300"}, 3600),
        ({"retry-after": "Tue, 14 Nov 9923 22:13:50 GMT"}, 3600),
    ],
)
def test_when_to_come_back_is_read_in_each_of_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_seconds(headers, NOON) == seconds


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "m", "type": "overloaded_error"}, FailureKind.OVERLOADED),
        ({"message": "m", "type": "server_error", "code": None}, FailureKind.OVERLOADED),
        ({"message": "m", "type": "rate_limit_error"}, FailureKind.RATE_LIMITED),
        ({"message": "m", "type": "BadRequestError", "code": 400}, FailureKind.REJECTED),
        ({"message": "m", "code": 503}, FailureKind.OVERLOADED),
        ({"message": "This exceeds the context window", "code": 400}, FailureKind.CONTEXT_LENGTH),
        ({"message": "m", "type": "something_new"}, FailureKind.INTERRUPTED),
        ("just words", FailureKind.INTERRUPTED),
        (None, FailureKind.INTERRUPTED),
        (7, FailureKind.INTERRUPTED),
    ],
)
def test_an_error_event_has_the_kind_that_its_words_or_number_say(error: object, kind: FailureKind) -> None:
    assert from_event(error).kind is kind


def test_callers_are_told_the_status_and_a_field_that_requests_have_and_nothing_else_of_it() -> None:
    body = b'{"error":{"message":"no: sk-secret at db.internal","param":"%b"}}'
    for param, told in [
        (b"temperature", "HTTP 400, about `temperature`"),
        (b"messages[3].content", "HTTP 400, about `messages`"),
        (b"sk-secret", "HTTP 400"),
        (b"db.internal", "HTTP 400"),
        (b"", "HTTP 400"),
    ]:
        error = from_refusal(400, {}, body % param)
        assert error.message == told
        assert error.said == "no: sk-secret at db.internal"
