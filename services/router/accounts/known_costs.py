"""What requests were held for lately: one that is alike and at least as large costs at least as much. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from headgate.billing.v1 import billing_service_pb2 as billing

_TRUSTED_SECONDS = 60.0
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    input_tokens: int
    max_output_tokens: int
    held_nanos: int
    at: float


class KnownCosts:
    """The last of each kind. Prices change, so what is known is forgotten after a minute."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: dict[bytes, _Known] = {}

    def least(self, asked: billing.AuthorizeRequest) -> int:
        """What is held for such a request at least, in nano-USD; 0 when nothing is known."""
        known = self._known.get(_kind(asked))
        if known is None or known.at + _TRUSTED_SECONDS < self._now():
            return 0
        is_as_large = (
            known.input_tokens <= asked.input_tokens and known.max_output_tokens <= asked.max_output_tokens
        )
        return known.held_nanos if is_as_large else 0

    def learn(self, asked: billing.AuthorizeRequest, held_nanos: int) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[_kind(asked)] = _Known(
            asked.input_tokens, asked.max_output_tokens, held_nanos, self._now()
        )


def _kind(asked: billing.AuthorizeRequest) -> bytes:
    """Two requests of one kind differ for billing in their size alone."""
    kind = billing.AuthorizeRequest()
    kind.CopyFrom(asked)
    kind.hold_id, kind.input_tokens, kind.max_output_tokens = "", 0, 0
    kind.labels.clear()
    return kind.SerializeToString(deterministic=True)
