"""A service's error becomes one line with a remedy, and an exit code that says what kind it is."""

import pytest

from cli.errors import CommandError, ExitCode, exit_code, explain, seconds_text
from services._runtime.errors import Code, FieldViolation, GatewayError


def error_of(
    code: Code, reason: str, message: str = "no", retry_after_seconds: float | None = None
) -> GatewayError:
    error = GatewayError(message, retry_after_seconds=retry_after_seconds)
    error.code, error.reason = code, reason
    return error


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (Code.UNAUTHENTICATED, "INVALID_KEY", ExitCode.UNAUTHENTICATED),
        (Code.PERMISSION_DENIED, "PERMISSION_DENIED", ExitCode.UNAUTHENTICATED),
        (Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", ExitCode.REFUSED),
        (Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED", ExitCode.REFUSED),
        (Code.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", ExitCode.FAILED),
        (Code.UNAVAILABLE, "PEER_UNAVAILABLE", ExitCode.UNREACHABLE),
        (Code.UNAVAILABLE, "STORE_UNAVAILABLE", ExitCode.UNREACHABLE),
        (Code.UNAVAILABLE, "NO_HEALTHY_TARGET", ExitCode.FAILED),
        (Code.UNAVAILABLE, "OVERLOADED", ExitCode.FAILED),
        (Code.INVALID_ARGUMENT, "INVALID_FIELD", ExitCode.FAILED),
        (Code.NOT_FOUND, "MODEL_NOT_FOUND", ExitCode.FAILED),
    ],
)
def test_the_exit_code_tells_the_kind_of_failure(code: Code, reason: str, expected: ExitCode) -> None:
    assert exit_code(error_of(code, reason)) is expected


def test_a_refusal_says_when_to_try_again() -> None:
    told = explain(error_of(Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", "limit a refused.", 12.01))
    assert told.line == "limit a refused. Try again in 13 s; `headgate limits` shows what is left"
    assert told.retry_after_seconds == 12.01


def test_a_peer_that_is_down_is_waited_for_or_looked_after() -> None:
    told = explain(error_of(Code.UNAVAILABLE, "PEER_UNAVAILABLE", "billing can't be reached", 1.0))
    assert told.line == (
        "billing can't be reached. Try again in 1 s; "
        "whoever runs Headgate finds the cause in the log of that service"
    )


def test_fields_at_fault_are_named_unless_the_message_says_them() -> None:
    violations = [FieldViolation("temperature", "must be at most 2"), FieldViolation("model", "is too long")]
    error = GatewayError("temperature must be at most 2", field_violations=violations)
    error.code, error.reason = Code.INVALID_ARGUMENT, "INVALID_FIELD"
    assert explain(error).line == "temperature must be at most 2; model: is too long"


def test_a_message_of_many_lines_is_still_one_line() -> None:
    assert CommandError("first\n  second.", "Do this").line == "first second. Do this"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.01, "0.1 s"),
        (0.84, "0.9 s"),
        (2, "2 s"),
        (9.91, "10 s"),
        (59.2, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
    ],
)
def test_a_time_to_wait_is_rounded_up(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
