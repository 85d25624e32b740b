"""Batches whose items fail by themselves: what can't be read is answered in its place, the rest goes on together."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from services._runtime.errors import GatewayError, InvalidFieldError
from services._runtime.rpc.validation import validate

_M = TypeVar("_M", bound=Message)
_O = TypeVar("_O")
_R = TypeVar("_R")


async def post_readable(
    batch: Message,
    parts: Iterable[tuple[Sequence[Any], Callable[[Any], _O]]],
    post: Callable[[Sequence[_O]], Awaitable[Sequence[_R]]],
) -> list[_R | GatewayError]:
    """In order: what `post`, called once, made of each item that can be read, or what is wrong with it.

    `parts`: items of `batch`, with what reads them.

    :raises InvalidFieldError: the batch itself breaks a rule.
    """
    checked = _is_valid(batch)
    readable = [_readable(item, read, checked=checked) for items, read in parts for item in items]
    operations = [each for each in readable if not isinstance(each, GatewayError)]
    results = iter(await post(operations) if operations else ())
    return [each if isinstance(each, GatewayError) else next(results) for each in readable]


def _is_valid(batch: Message) -> bool:
    # One check of the whole is cheaper than many of its items, and nearly always finds nothing.
    try:
        validate(batch)
    except InvalidFieldError as error:
        if any("[" not in violation.field for violation in error.field_violations):
            raise
        return False
    return True


def _readable(item: _M, read: Callable[[_M], _O], *, checked: bool) -> _O | GatewayError:
    try:
        if not checked:
            validate(item)
        return read(item)
    except GatewayError as refusal:
        # A trace leads to the frames of who keeps the error, and so to itself.
        return refusal.with_traceback(None)
