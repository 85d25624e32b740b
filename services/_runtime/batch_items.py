"""The items of a batch, each judged by itself: one that breaks the contract costs no other its answer."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from services._runtime.errors import GatewayError, InvalidFieldError
from services._runtime.validation import validate

Item = TypeVar("Item", bound=Message)
Result = TypeVar("Result")


async def for_valid_items(
    batch: Any, act: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]
) -> list[Result | GatewayError]:
    """In the order of `batch.requests`: what `act`, called once, made of each valid item, or what is wrong with it.

    :raises InvalidFieldError: the batch itself breaks a rule.
    """
    broken = _broken_items(batch)
    valid = [item for place, item in enumerate(batch.requests) if place not in broken]
    results = iter(await act(valid) if valid else ())
    return [broken[place] if place in broken else next(results) for place in range(len(batch.requests))]


def _broken_items(batch: Any) -> dict[int, GatewayError]:
    # The whole is checked at once, for it costs a third of as many single checks; these only name the culprit.
    whole = _violation(batch)
    if whole is None:
        return {}
    if any("[" not in violation.field for violation in whole.field_violations):
        raise whole
    violations = ((place, _violation(item)) for place, item in enumerate(batch.requests))
    return {place: violation for place, violation in violations if violation is not None}


def _violation(message: Message) -> InvalidFieldError | None:
    try:
        validate(message)
    except InvalidFieldError as error:
        return error
    return None
