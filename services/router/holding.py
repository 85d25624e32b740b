"""How many bytes of answers this process holds at once, in all and for one caller. Pure."""

from collections import Counter

_SHARE = 4


class AnswerBytes:
    """About `most` bytes, of which one caller has at most a quarter: what it does not read leaves the others their room.

    Nothing is refused here. Who holds a part of an answer says how large it is, and is told when that is too much: then a
    stream waits for its reader, and an answer that is large by itself is given up.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all = 0
        self._of = Counter[str]()

    def share(self, caller: str) -> "Share":
        """Of one holder, with nothing in it; `caller` is whatever tells callers apart."""
        return Share(self, caller)

    @property
    def held(self) -> int:
        return self._all

    def add(self, caller: str, size: int) -> None:
        self._all += size
        self._of[caller] += size
        if not self._of[caller]:
            del self._of[caller]

    def is_tight(self, caller: str, own: int) -> bool:
        # A caller that has nothing else here gets its answer, however small its share is.
        others = self._of[caller] - own
        return self._all > self._most or (others > 0 and others + own > self._most // _SHARE)


class Share:
    """What one holder has of a caller's answer."""

    __slots__ = ("_caller", "_room", "size")

    def __init__(self, room: AnswerBytes, caller: str) -> None:
        self._room = room
        self._caller = caller
        self.size = 0

    def hold(self, size: int) -> None:
        """The holder has so many bytes now; 0 when it is done."""
        if size != self.size:
            self._room.add(self._caller, size - self.size)
            self.size = size

    def another(self) -> "Share":
        """For another holder of the same caller's answer."""
        return Share(self._room, self._caller)

    @property
    def is_tight(self) -> bool:
        """Whether the process has more than it should, or the caller has, by its other answers too."""
        return self._room.is_tight(self._caller, self.size)
