"""The items of a batch, each judged by itself: one that breaks the contract costs no other its answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from services._runtime.errors import GatewayError, InvalidFieldError
from services._runtime.rpc.validation import validate

Item = TypeVar("Item", bound=Message)
Result = TypeVar("Result")


class BatchItems(Generic[Item]):
    """The items of one batch; `valid` are those to act on."""

    __slots__ = ("_broken", "valid")

    def __init__(self, requests: Sequence[Item], broken: Mapping[int, GatewayError]) -> None:
        self._broken = broken
        self.valid = (
            [item for place, item in enumerate(requests) if place not in broken] if broken else requests
        )

    def in_order(self, results: Sequence[Result]) -> Iterable[Result | GatewayError]:
        """The results of the valid items, and between them what is wrong with the others."""
        if not self._broken:
            return results
        rest = iter(results)
        places = range(len(results) + len(self._broken))
        return [self._broken[place] if place in self._broken else next(rest) for place in places]


def batch_items(batch: Any) -> BatchItems[Any]:
    """Those of `batch.requests`.

    :raises InvalidFieldError: the batch itself breaks a rule.
    """
    # The whole is checked at once, for it costs a third of as many single checks; these only name the culprit.
    whole = _violation(batch)
    if whole is None:
        return BatchItems(batch.requests, {})
    if any("[" not in violation.field for violation in whole.field_violations):
        raise whole
    violations = ((place, _violation(item)) for place, item in enumerate(batch.requests))
    return BatchItems(
        batch.requests, {place: violation for place, violation in violations if violation is not None}
    )


def exchanged_items(request: Any, *batches: str) -> list[BatchItems[Any]]:
    """Those of each of these batches of an exchange, all checked in one pass; of an absent batch none.

    :raises InvalidFieldError: a batch itself breaks a rule.
    """
    if _violation(request) is None:
        return [BatchItems(getattr(request, batch).requests, {}) for batch in batches]
    return [
        batch_items(getattr(request, batch)) if request.HasField(batch) else BatchItems((), {})
        for batch in batches
    ]


def _violation(message: Message) -> InvalidFieldError | None:
    try:
        validate(message)
    except InvalidFieldError as error:
        # A trace leads to the frames of who keeps the error, and so to itself.
        return error.with_traceback(None)
    return None
