"""JSON from elsewhere: what can be wrong with it, and how it goes into a request body unparsed but checked."""

from typing import Annotated, Any

import msgspec

from services.router.targets.provider import FailureKind, ProviderError

# Everything that decoding text from elsewhere can raise; nesting without end is the last of them.
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
_RAW = msgspec.json.Decoder(msgspec.Raw)
# More tokens than any model takes or gives: who reports them would use up limits and budgets with one answer.
Count = Annotated[int, msgspec.Meta(ge=0, le=10**8)]
LOOKED_AT_BYTES = 64 * 1024
_MOST_ITEMS = 400_000
"""Objects and lists of one text: an answer of 16,000 tokens with 20 alternatives for each has as many."""
NOTHING = msgspec.Raw(b"")
"""What a field that did not come has, where it is not read here."""
NO_OBJECT = "it is not a JSON object"


def check_items(text: bytes) -> None:
    """Of a text of LOOKED_AT_BYTES and more; shorter ones can't be harmful.

    :raises DecodeError: it has so many pieces that reading it would take all memory
    """
    if text.count(b"{") + text.count(b"[") > _MOST_ITEMS:
        raise msgspec.DecodeError(f"more than {_MOST_ITEMS} objects and lists")


def is_object(text: str) -> bool:
    """Exactly one JSON object: anything after it would reach the provider as part of the body around it."""
    if not text.lstrip(" \t\r\n").startswith("{"):
        return False
    try:
        _RAW.decode(text.encode())
    except UNREADABLE:
        return False
    return True


def embedded(text: str, field: str) -> msgspec.Raw:
    """:raises ProviderError: REJECTED, when the text is not a JSON object"""
    if not is_object(text):
        raise ProviderError(FailureKind.REJECTED, f"{field}: {NO_OBJECT}")
    return msgspec.Raw(text.encode())


def fields_of(text: str) -> dict[str, Any]:
    """Of a JSON object; none of anything else."""
    try:
        decoded = msgspec.json.decode(text.encode())
    except UNREADABLE:
        return {}
    return decoded if isinstance(decoded, dict) else {}
