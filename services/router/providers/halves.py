"""Characters that come in two halves: UTF-16 surrogates and bytes of UTF-8, cut where a server cut its tokens."""

import re

Key = tuple[str, int]
"""Which stream of text: of what kind, and of which of several."""

_REPLACEMENT = "\ufffd"
_SURROGATES = re.compile("[\ud800-\udfff]")
# What the `surrogateescape` of Python makes of bytes that are no UTF-8.
_BYTES = re.compile("[\udc80-\udcff]+")
# The begin of a character at the end of a text: the first half of a pair, or fewer bytes than its first one tells.
_BEGUN = re.compile(
    "(?:[\ud800-\udbff]|[\udcc2-\udcdf]|[\udce0-\udcef][\udc80-\udcbf]?|[\udcf0-\udcf4][\udc80-\udcbf]{0,2})$"
)


class Halves:
    """Of several streams of text, each with its key."""

    def __init__(self) -> None:
        self._begun: dict[Key, str] = {}

    def join(self, key: Key, text: str) -> str:
        """The text with what the one before left over; what it begins itself is left for the next one."""
        if not text:
            return text
        text = _paired(self._begun.pop(key, "") + text)
        if begun := _BEGUN.search(text):
            self._begun[key] = begun[0]
            text = text[: begun.start()]
        return whole_characters(text)

    def left(self) -> list[tuple[Key, str]]:
        """In the end, a replacement for each that was never ended."""
        left = [(key, _REPLACEMENT) for key in self._begun]
        self._begun.clear()
        return left


def whole_characters(text: str) -> str:
    """With U+FFFD for each half that has no other."""
    if _SURROGATES.search(text) is None:
        return text
    text = _BYTES.sub(_from_bytes, _paired(text))
    return _SURROGATES.sub(_REPLACEMENT, text)


def _paired(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _from_bytes(run: re.Match[str]) -> str:
    return run[0].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
