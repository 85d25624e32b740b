"""What a command says and returns when it fails: one line, a remedy, an exit code."""

from collections.abc import Mapping
from enum import IntEnum

from services._runtime.errors import Code, GatewayError


class ExitCode(IntEnum):
    """Documented in `headgate --help`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    UNAUTHENTICATED = 4
    REFUSED = 5
    INTERRUPTED = 130


class CommandError(Exception):
    """A command's failure as its user reads it."""

    def __init__(
        self,
        message: str,
        remedy: str = "",
        code: ExitCode = ExitCode.FAILED,
        *,
        reason: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds

    @property
    def line(self) -> str:
        text = " ".join(self.message.split()).rstrip(".")
        end = "" if text.endswith("?") else "."
        return f"{text}{end} {self.remedy}" if self.remedy else text


REMEDIES = {
    "MISSING_CREDENTIALS": "Set HEADGATE_API_KEY, or run `headgate up` in this folder: it makes a key",
    "INVALID_KEY": "Set HEADGATE_API_KEY to a key of this installation; `headgate keys create` makes one",
    "KEY_REVOKED": "`headgate keys create` makes another",
    "RATE_LIMITED": "`headgate limits` shows what is left",
    "BUDGET_EXCEEDED": "`headgate budgets` shows what is left, and when they are renewed",
    "MODEL_NOT_FOUND": "`headgate models` lists what can be asked",
    "UNSUPPORTED_BY_TARGET": "`headgate models` shows what each model can do",
    "NO_HEALTHY_TARGET": "`headgate targets` says why",
    "PROVIDER_FAILED": "`headgate targets` shows how the providers are",
    "READ_ONLY_RESOURCE": "Change it in the configuration file that declares it",
    "ETAG_MISMATCH": "Read it again and repeat",
    "PEER_UNAVAILABLE": "Whoever runs Headgate finds the cause in the log of that service",
    "STORE_UNAVAILABLE": "Check the service's store, then try again",
    "UNPRICED_MODEL": "Give the model a price under `billing:` in the configuration file",
    "DEADLINE_EXCEEDED": "Try again, or allow more time with --timeout",
    "INTERNAL": "The service's log has the trace of the defect",
}
_HOW_TO_AUTHENTICATE_INSIDE = (
    "Set HEADGATE_INTERNAL_TOKEN to what the services were started with, or name their --data-dir"
)
# Of services that are asked with the installation's own token instead of an API key.
INTERNAL_REMEDIES = {
    **REMEDIES,
    "MISSING_CREDENTIALS": _HOW_TO_AUTHENTICATE_INSIDE,
    "INVALID_KEY": _HOW_TO_AUTHENTICATE_INSIDE,
}
_UNREACHABLE_REASONS = frozenset({"PEER_UNAVAILABLE", "STORE_UNAVAILABLE"})


def explain(error: GatewayError, remedies: Mapping[str, str] = REMEDIES) -> CommandError:
    """A service's error for a terminal."""
    message = "; ".join([error.message, *_violations(error)])
    return CommandError(
        message,
        _remedy(error, remedies),
        exit_code(error),
        reason=error.reason,
        retry_after_seconds=error.retry_after_seconds,
    )


def exit_code(error: GatewayError) -> ExitCode:
    if error.code in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED):
        return ExitCode.UNAUTHENTICATED
    if error.code is Code.RESOURCE_EXHAUSTED and error.reason in ("RATE_LIMITED", "BUDGET_EXCEEDED"):
        return ExitCode.REFUSED
    if error.code is Code.UNAVAILABLE and error.reason in _UNREACHABLE_REASONS:
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED


def _violations(error: GatewayError) -> list[str]:
    """Fields that are at fault, as far as the message does not say it already."""
    if error.code is not Code.INVALID_ARGUMENT:
        return []
    violations = error.field_violations
    return [
        f"{each.field}: {each.description}" for each in violations if each.description not in error.message
    ]


def _remedy(error: GatewayError, remedies: Mapping[str, str]) -> str:
    known = remedies.get(error.reason, "")
    if error.retry_after_seconds is None:
        return known
    wait = f"Try again in {seconds_text(error.retry_after_seconds)}"
    return f"{wait}; {known[0].lower()}{known[1:]}" if known else wait


def seconds_text(seconds: float) -> str:
    """Rounded up, so that who waits that long has waited long enough."""
    tenths = -int(-seconds * 10 // 1)
    if tenths < 100:  # noqa: PLR2004 - ten seconds
        return f"{tenths / 10:g} s"
    whole = -int(-seconds // 1)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value)
