"""The sliding window, in slots.

What is taken is counted in the slot of its time, and a slot counts whole until its last microsecond has left the window.
So no window of that length ever holds more than the maximum; what was taken is free again at most one slot (a sixtieth
of the window) later than it could be.
"""

from services.ratelimit.bucket import Shape

MAX_COUNT = 4 * 10**15
"""More is not counted: integers stay exact in Lua's doubles."""


class Slots:
    """The state of one sliding window."""

    __slots__ = ("shape", "slot_us", "slots", "time_us", "total", "window_us")

    def __init__(self, shape: Shape, now_us: int) -> None:
        self.shape = shape
        self.window_us = shape.amount
        self.slot_us = shape.interval_us
        self.time_us = now_us
        self.total = 0
        self.slots: dict[int, int] = {}
        """Slot number -> count; in ascending order, because time never runs backwards here."""

    @property
    def units(self) -> int:
        return self.total

    def advance(self, now_us: int) -> None:
        if now_us <= self.time_us:
            return
        self.time_us = now_us
        while self.slots:
            oldest = next(iter(self.slots))
            if self._leaves_at(oldest) > now_us:
                return
            self.total -= self.slots.pop(oldest)

    def reshape(self, shape: Shape) -> None:
        """A window of another length is another bucket; only its maximum can change, and that is not kept here."""
        self.shape = shape

    def fits(self, amount: int, capacity: int) -> bool:
        return self.total + amount <= capacity

    def fits_after_us(self, amount: int, capacity: int) -> int | None:
        if amount > capacity:
            return None
        left = self.total
        for slot, count in self.slots.items():
            if left + amount <= capacity:
                break
            left -= count
            if left + amount <= capacity:
                return self._leaves_at(slot) - self.time_us
        return 0

    def outlook(self) -> tuple[int, int]:
        """What can't be taken, and how long until all can."""
        return self.total, self.reset_after_us()

    def reset_after_us(self) -> int:
        if not self.slots:
            return 0
        return self._leaves_at(next(reversed(self.slots))) - self.time_us

    def take(self, amount: int) -> int:
        """Take, whether it fits or not; the slot, which names this take to `give_back`."""
        slot = self.time_us // self.slot_us
        counted = min(amount, MAX_COUNT - self.total)
        if counted > 0:
            self.slots[slot] = self.slots.get(slot, 0) + counted
            self.total += counted
        return slot

    def give_back(self, amount: int, stamp: int) -> None:
        """To the slot that it was taken from; nothing when that has left the window."""
        refund = min(amount, self.slots.get(stamp, 0))
        if refund > 0:
            self.total -= refund
            self.slots[stamp] -= refund
            if self.slots[stamp] == 0:
                del self.slots[stamp]

    def _leaves_at(self, slot: int) -> int:
        return (slot + 1) * self.slot_us + self.window_us
