"""Which keys that are not known to be good may be asked for, after wrong ones came from the same address or for the same key id."""

from collections import OrderedDict
from math import exp2

MOST_FAILURES = 30.0
"""More wrong keys than this of one source, and it is throttled."""
HALF_LIFE_SECONDS = 5.0
"""Half of the failures are forgotten in this time, so a throttled source can fail four times in a second."""
RETRY_SECONDS = 1.0
MAX_SOURCES = 10_000
MAX_PUT_OFF = 20_000


class Failures:
    """How often each source failed lately. Those that failed last are remembered."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def add(self, source: str, now: float) -> None:
        self._sources[source] = self.level(source, now) + 1.0, now
        self._sources.move_to_end(source)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)

    def level(self, source: str, now: float) -> float:
        level, since = self._sources.get(source, (0.0, now))
        return level * exp2(-max(0.0, now - since) / HALF_LIFE_SECONDS)


class Throttle:
    """Wrong keys make their address and their key id wait; a good one that is not known yet gets past them by coming again.

    Who was put off and comes again after RETRY_SECONDS is asked for while there are twice as many failures, then three times,
    and so on. Guesses do not come twice; and whoever means to hold others back must send each wrong key ever more often, so
    that in a flood of 3,000 calls a second a good key gets in after half a minute.
    """

    def __init__(self) -> None:
        self._of_address = Failures()
        self._of_key_id = Failures()
        self._put_off: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def has_room(self, address: str, key_id: str, patience: int, now: float) -> bool:
        """`patience`: how often the key was put off."""
        level = max(self._of_address.level(address, now), self._of_key_id.level(key_id, now))
        return level < MOST_FAILURES * (1 + patience)

    def failed(self, address: str, key_id: str, now: float) -> None:
        self._of_address.add(address, now)
        self._of_key_id.add(key_id, now)

    def patience(self, digest: bytes, now: float) -> int:
        """How often the key was put off and waited as it was told, this time included."""
        times, since = self._put_off.get(digest, (0, now))
        return times if now - since >= RETRY_SECONDS else max(0, times - 1)

    def put_off(self, digest: bytes, patience: int, now: float) -> None:
        """A key that came too early neither gains nor loses by it."""
        times, _ = self._put_off.get(digest, (0, now))
        if patience == times:
            self._put_off[digest] = times + 1, now
        self._put_off.move_to_end(digest)
        if len(self._put_off) > MAX_PUT_OFF:
            self._put_off.popitem(last=False)
