"""The token bucket, in exact integers.

A bucket is kept as its *fill*: what was taken and has not been regained, scaled by `interval_us`, so that one
microsecond regains exactly `amount`. It never admits more than capacity + rate x time over any interval.

A refund changes the past: the bucket must stand as if less had been taken then. What was taken is regained at the same
rate whether the request was large or small, except that an empty bucket regains nothing. So a refund of k gives back
min(k, the lowest fill since), and a bucket keeps its lows: pairs of a take's stamp and the fill just before it, with
rising fill, of which the first after a reservation's own stamp is the lowest since. At most MAX_LOWS are kept; two that
are merged keep the lower fill, so that a refund is at worst too small.
"""

from itertools import pairwise

from services.ratelimit.bucket import Shape

MAX_LOWS = 8
LONGEST_WAIT_US = 100 * 366 * 86_400 * 10**6
"""A longer wait is told as this."""
MAX_FILL = 4 * 10**15
"""In units. More is not counted: integers stay exact in Lua's doubles."""


class Fill:
    """The state of one token bucket."""

    __slots__ = ("amount", "interval_us", "lows", "scaled", "shape", "stamp", "time_us")

    def __init__(self, shape: Shape, now_us: int) -> None:
        self.shape = shape
        self.amount = shape.amount
        self.interval_us = shape.interval_us
        self.time_us = now_us
        self.stamp = 0
        self.scaled = 0
        self.lows: list[tuple[int, int]] = []

    @property
    def units(self) -> int:
        """What can't be taken, in whole units."""
        return -(-self.scaled // self.interval_us)

    def advance(self, now_us: int) -> None:
        if now_us > self.time_us:
            if self.scaled:
                self.scaled = max(0, self.scaled - (now_us - self.time_us) * self.amount)
            self.time_us = now_us

    def reshape(self, shape: Shape) -> None:
        """Keep what was taken under a changed rate."""
        if shape.interval_us != self.interval_us:
            self.scaled = self.units * shape.interval_us
            self.lows = [(stamp, fill // self.interval_us * shape.interval_us) for stamp, fill in self.lows]
            self.interval_us = shape.interval_us
        self.amount = shape.amount
        self.shape = shape

    def fits(self, amount: int, capacity: int) -> bool:
        return -(-self.scaled // self.interval_us) + amount <= capacity

    def fits_after_us(self, amount: int, capacity: int) -> int | None:
        return fits_after_us(self.scaled, self.amount, self.interval_us, amount, capacity)

    def outlook(self) -> tuple[int, int]:
        """What can't be taken, in whole units, and how long until all can."""
        scaled = self.scaled
        if not scaled:
            return 0, 0
        return -(-scaled // self.interval_us), reset_after_us(scaled, self.amount)

    def reset_after_us(self) -> int:
        return reset_after_us(self.scaled, self.amount) if self.scaled else 0

    def take(self, amount: int) -> int:
        """Take, whether it fits or not; the stamp that names this take to `give_back`."""
        stamp = self.stamp = self.time_us if self.time_us > self.stamp else self.stamp + 1
        scaled, lows = self.scaled, self.lows
        while lows and lows[-1][1] >= scaled:
            lows.pop()
        lows.append((stamp, scaled))
        if len(lows) > MAX_LOWS:
            self._merge_nearest_lows()
        self.scaled = min(scaled + amount * self.interval_us, MAX_FILL * self.interval_us)
        return stamp

    def give_back(self, amount: int, stamp: int) -> None:
        """Stand as if the take of that stamp had been smaller by `amount`."""
        lowest = next((fill for taken, fill in self.lows if taken > stamp), self.scaled)
        refund = min(amount * self.interval_us, lowest, self.scaled)
        if not refund:
            return
        self.scaled -= refund
        lowered: list[tuple[int, int]] = []
        for taken, fill in reversed(self.lows):
            # What the bucket held before that take does not change.
            low = max(0, fill - refund) if taken > stamp else fill
            if not lowered or low < lowered[-1][1]:
                lowered.append((taken, low))
        self.lows = lowered[::-1]

    def _merge_nearest_lows(self) -> None:
        fills = [self._whole(fill) for _, fill in self.lows]
        gaps = [later - earlier for earlier, later in pairwise(fills)]
        nearest = gaps.index(min(gaps))
        self.lows[nearest : nearest + 2] = [(self.lows[nearest + 1][0], self.lows[nearest][1])]

    def _whole(self, scaled: int) -> int:
        return -(-scaled // self.interval_us)


def fits_after_us(scaled: int, rate: int, interval_us: int, amount: int, capacity: int) -> int | None:
    if amount > capacity:
        return None
    return min(max(0, -(-(scaled + (amount - capacity) * interval_us) // rate)), LONGEST_WAIT_US)


def reset_after_us(scaled: int, rate: int) -> int:
    return min(-(-scaled // rate), LONGEST_WAIT_US)
