"""What providers say of their failures, in Headgate's terms."""

import msgspec
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


K = FailureKind
TOO_LONG = [
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
    "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (5000 in the messages).",
    "Please reduce the length of the messages or completion.",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097",
    "too many tokens: size limit exceeded by 1200 tokens",
    "Input is too long for requested model.",
    "input length exceeds maximum context length",
    "the request exceeds the available context size, try increasing it",
    "Range of input length should be [1, 30720]",
    "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
    "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
    "Request too large for model `llama` on tokens per minute: Limit 6000, Requested 8000, please reduce your message size",
    "prompt is too long: 210000 tokens > 200000 maximum",
]
BODIES: dict[str, tuple[int, object, FailureKind]] = {
    "a list around it": (
        429,
        [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}}],
        K.RATE_LIMITED,
    ),
    "a list around a bad key": (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "API key not valid.",
                    "details": [{"reason": "API_KEY_INVALID"}],
                }
            }
        ],
        K.CREDENTIAL,
    ),
    "a list in a list": (400, [[{"error": {"status": "PERMISSION_DENIED"}}]], K.CREDENTIAL),
    "a number as text": (400, {"error": {"code": "429", "message": "slow down"}}, K.RATE_LIMITED),
    "a number as text, of the key": (400, {"error": {"code": "401", "message": "no"}}, K.CREDENTIAL),
    "a number as text at the top": (400, {"code": "503", "message": "no"}, K.REJECTED),
    "vLLM's own": (
        400,
        {"object": "error", "code": 400, "message": TOO_LONG[2], "type": "BadRequestError"},
        K.CONTEXT_LENGTH,
    ),
    "vLLM's own, of the request": (
        400,
        {"object": "error", "code": 400, "message": "bad `temperature`"},
        K.REJECTED,
    ),
    "a detail": (400, {"detail": TOO_LONG[0]}, K.CONTEXT_LENGTH),
    "details": (400, {"details": [{"msg": TOO_LONG[3]}]}, K.CONTEXT_LENGTH),
    "a detail that says where": (
        422,
        {"detail": [{"loc": ["body", "temperature"], "msg": "too high"}]},
        K.REJECTED,
    ),
    "errors": (400, {"errors": [{"message": TOO_LONG[5]}]}, K.CONTEXT_LENGTH),
    "a text with JSON in it": (
        400,
        {"error": {"message": 'upstream said {"error":{"code":"context_length_exceeded","message":"m"}}'}},
        K.CONTEXT_LENGTH,
    ),
    "a text that is JSON": (400, '{"error":{"type":"authentication_error"}}', K.CREDENTIAL),
    "a word beside a message": (401, {"error": "invalid_api_key", "message": "m"}, K.CREDENTIAL),
    "a bad key under 400": (400, {"error": {"message": "Incorrect API key provided: sk-x"}}, K.CREDENTIAL),
    "another bad key under 400": (400, {"error": {"message": "Invalid x-api-key"}}, K.CREDENTIAL),
    "flagged under 403": (
        403,
        {
            "error": {
                "code": 403,
                "message": "requires moderation",
                "metadata": {"reasons": ["violence"], "flagged_input": "…"},
            }
        },
        K.FILTERED,
    ),
    "filtered under 400": (
        400,
        {
            "error": {
                "code": "content_filter",
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
                "message": "m",
            }
        },
        K.FILTERED,
    ),
    "inspected under 400": (400, {"code": "DataInspectionFailed", "message": "m"}, K.FILTERED),
    "LiteLLM's unknown model": (
        400,
        {"error": {"message": "Invalid model name passed in model=x"}},
        K.MODEL_NOT_FOUND,
    ),
    "an unknown model under 422": (422, {"detail": "The model `x` does not exist."}, K.MODEL_NOT_FOUND),
    "a tool that does not exist": (400, {"error": {"message": "tool `x` does not exist"}}, K.REJECTED),
    "no right under 403": (403, {"error": {"message": "no access to this model"}}, K.CREDENTIAL),
    "fewer tokens under 402": (
        402,
        {
            "error": {
                "message": "This request requires more credits, or fewer max_tokens. You requested 4096, but can only afford 1000",
                "code": 402,
            }
        },
        K.UNAFFORDABLE,
    ),
    "no money under 402": (402, {"error": {"message": "Insufficient Balance"}}, K.CREDENTIAL),
    "no quota under 429": (429, {"error": {"code": "insufficient_quota", "message": "m"}}, K.CREDENTIAL),
    "a rate in words of a quota": (
        429,
        {"error": {"message": "exceeded your current quota of requests per minute"}},
        K.RATE_LIMITED,
    ),
    "an overloaded engine under 429": (
        429,
        {"error": {"type": "engine_overloaded_error", "message": "m"}},
        K.OVERLOADED,
    ),
    "too long under 500": (500, {"error": {"message": TOO_LONG[8]}}, K.CONTEXT_LENGTH),
    "a key under 500": (500, {"error": {"message": "upstream: invalid api key"}}, K.OVERLOADED),
    "a page": (502, "<html>Bad gateway</html>", K.OVERLOADED),
    "Groq's capacity": (498, {"error": {"message": "m", "code": "capacity_exceeded"}}, K.RATE_LIMITED),
    "Cloudflare's timeout": (524, "", K.OVERLOADED),
    "a long name of a tool": (
        400,
        {"error": {"message": "Invalid 'tools[0].function.name': string too long."}},
        K.REJECTED,
    ),
    **{text: (400, {"error": {"message": text}}, K.CONTEXT_LENGTH) for text in TOO_LONG},
}


@pytest.mark.parametrize("name", BODIES)
def test_error_bodies_in_their_many_forms(name: str) -> None:
    status, body, kind = BODIES[name]
    assert from_refusal(status, {}, msgspec.json.encode(body)).kind is kind


def test_a_refusal_says_what_it_means_and_how_many_tokens() -> None:
    body = msgspec.json.encode({"error": {"message": TOO_LONG[0]}})
    expected = "HTTP 400: the prompt, with the answer asked for, is too long for the model (it names 1200000 and 1048576 tokens)"
    assert from_refusal(400, {}, body).message == expected


@pytest.mark.parametrize(
    ("detail", "field"),
    [
        ([{"loc": ["body", "temperature"], "msg": "m"}], "temperature"),
        ("`top_p` must be below 1", "top_p"),
        ("max_tokens must be at least 1", "max_tokens"),
        ("the model stops here", ""),
        ("no such `db.internal`", ""),
    ],
)
def test_the_field_that_is_at_fault_is_found_where_it_stands(detail: object, field: str) -> None:
    told = from_refusal(422, {}, msgspec.json.encode({"detail": detail})).message
    assert told == (f"HTTP 422, about `{field}`" if field else "HTTP 422")


@pytest.mark.parametrize(
    ("status", "look"),
    [(400, "the server's own log"), (401, "`api_key`"), (404, "`base_url`"), (500, "the server's own log")],
)
def test_a_refusal_that_says_nothing_tells_where_to_look(status: int, look: str) -> None:
    for body in (b"", b" \n"):
        told = from_refusal(status, {}, body).message
        assert f"HTTP {status} with an empty body" in told
        assert look in told


def test_an_event_may_have_a_number_as_text() -> None:
    assert from_event({"code": "429", "message": "m"}).kind is FailureKind.RATE_LIMITED
    assert from_event([{"error": {"code": 503}}]).kind is FailureKind.OVERLOADED
    assert from_event({"message": TOO_LONG[0]}).kind is FailureKind.CONTEXT_LENGTH
