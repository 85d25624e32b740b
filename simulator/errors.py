"""Refusals, and how each API words them."""

import re
from dataclasses import dataclass

import msgspec

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "requests"}
_OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
_SERVER_ERROR = 500
_PATH = re.compile(r"(?P<reason>.*?) - at `(?:key in )?\$\.?(?P<path>[^`]*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


@dataclass(slots=True)
class ApiError(Exception):
    """A request that is refused. `param` and `code` are OpenAI's; `type` overrides what the status would give."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    type: str | None = None
    retry_after_seconds: float | None = None


def injected(status: int, retry_after_seconds: float | None) -> ApiError:
    message = f"The simulator was asked to answer {status}."
    return ApiError(status, message, code=_OPENAI_CODES.get(status), retry_after_seconds=retry_after_seconds)


def from_decoding(error: msgspec.DecodeError | UnicodeDecodeError | RecursionError) -> ApiError:
    """Words a body that is not the API's JSON, with the field at fault as `param`."""
    match = _PATH.fullmatch(str(error))
    reason, path = (match["reason"], match["path"]) if match else (str(error), "")
    missing = _MISSING.match(reason)
    if missing:
        param = f"{path}.{missing[1]}" if path else missing[1]
        return ApiError(400, f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
    if not isinstance(error, msgspec.ValidationError):
        return ApiError(400, f"We could not parse the JSON body of your request. ({reason})")
    return ApiError(400, f"Invalid value for '{path}': {reason}.", path or None, "invalid_value")


def openai_body(error: ApiError, _request_id: str) -> bytes:
    kind = error.type or _OPENAI_TYPES.get(error.status)
    kind = kind or ("server_error" if error.status >= _SERVER_ERROR else "invalid_request_error")
    detail = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": detail})


def anthropic_body(error: ApiError, request_id: str) -> bytes:
    default = "api_error" if error.status >= _SERVER_ERROR else "invalid_request_error"
    kind = error.type or _ANTHROPIC_TYPES.get(error.status, default)
    detail = {"type": kind, "message": error.message}
    return msgspec.json.encode({"type": "error", "error": detail, "request_id": request_id})
