"""`provider_options` of a request: which of them a target takes, how large they may be, and what they multiply. Pure."""

import re
from collections.abc import Iterable, Iterator

from google.protobuf import struct_pb2

from headgate.router.v1 import completion_pb2
from services._runtime.errors import FieldViolation
from services.router.targets.option_names import LEAST_OUTPUT
from services.router.targets.provider import Unsupported

MOST_BYTES = 64 * 1024
DEEPEST = 16
MOST_CANDIDATES = 128
_SPEAKABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CLOSED = (
    "the configuration lets no such option through to the provider; where its operator vouches for it, "
    "`allowed_provider_options` of the provider names it"
)


def closed_options(
    request: completion_pb2.CompletionRequest, allowed: frozenset[str]
) -> Iterator[Unsupported]:
    if request.HasField("provider_options"):
        for name in sorted(set(request.provider_options.fields) - allowed):
            yield Unsupported(_path(name), _CLOSED)


def check_options(request: completion_pb2.CompletionRequest) -> Iterator[FieldViolation]:
    """What is wrong with the options whoever gets them."""
    if not request.HasField("provider_options"):
        return
    options = request.provider_options
    if (size := options.ByteSize()) > MOST_BYTES:
        yield FieldViolation("provider_options", f"it has {size} bytes, and may have {MOST_BYTES}")
        return
    if _any_deeper(options.fields.values(), DEEPEST):
        yield FieldViolation("provider_options", f"it is nested more than {DEEPEST} levels deep")
    if "best_of" in options.fields and not _is_whole(options.fields["best_of"], 1, MOST_CANDIDATES):
        yield FieldViolation("provider_options.best_of", f"a whole number from 1 to {MOST_CANDIDATES}")
    for name in sorted(LEAST_OUTPUT & set(options.fields)):
        if not request.HasField("max_output_tokens"):
            yield FieldViolation(f"provider_options.{name}", "it is taken with max_output_tokens only")
        elif not _is_whole(options.fields[name], 0, request.max_output_tokens):
            reason = f"a whole number from 0 to max_output_tokens, {request.max_output_tokens}"
            yield FieldViolation(f"provider_options.{name}", reason)


def answers_generated(request: completion_pb2.CompletionRequest) -> int:
    """Those that are returned, and the candidates of `best_of`, among which they are the best; each is output."""
    returned = max(1, request.choice_count)
    if not request.HasField("provider_options") or "best_of" not in request.provider_options.fields:
        return returned
    return max(returned, int(request.provider_options.fields["best_of"].number_value))


def _is_whole(value: struct_pb2.Value, least: int, most: int) -> bool:
    number = value.number_value
    return value.HasField("number_value") and number.is_integer() and least <= number <= most


def _any_deeper(values: Iterable[struct_pb2.Value], levels: int) -> bool:
    return any(_is_deeper(value, levels) for value in values)


def _is_deeper(value: struct_pb2.Value, levels: int) -> bool:
    match value.WhichOneof("kind"):
        case "struct_value":
            return not levels or _any_deeper(value.struct_value.fields.values(), levels - 1)
        case "list_value":
            return not levels or _any_deeper(value.list_value.values, levels - 1)
        case _:
            return False


def _path(name: str) -> str:
    """A name from elsewhere is repeated only where it can neither hide nor command anything."""
    return f"provider_options.{name}" if _SPEAKABLE.fullmatch(name) else "provider_options"
