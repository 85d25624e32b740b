"""How many bytes of requests are in flight at once."""

from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services._runtime.errors import OverloadedError
from services._runtime.rpc.room import COUNTED_BYTES, BytesInFlight

MIB = 1024 * 1024


def test_a_caller_has_a_quarter_of_the_room_and_the_others_keep_theirs() -> None:
    room = BytesInFlight(40 * MIB)
    with ExitStack() as served:
        served.enter_context(room.taken(6 * MIB, "greedy"))
        with (
            pytest.raises(OverloadedError, match="this caller has 6291456 bytes") as refusal,
            room.taken(6 * MIB, "greedy"),
        ):
            pass
        assert refusal.value.retry_after_seconds == 1
        with room.taken(6 * MIB, "other"):
            pass


def test_what_was_served_makes_room_again() -> None:
    room = BytesInFlight(8 * MIB)
    for _ in range(100):
        with room.taken(2 * MIB, "one"):
            pass


def test_one_request_of_a_caller_fits_however_small_its_share_is() -> None:
    room = BytesInFlight(40 * MIB)
    with room.taken(20 * MIB, "one"):
        pass


def test_the_process_has_a_bound_over_all_callers() -> None:
    room = BytesInFlight(10 * MIB)
    with ExitStack() as served:
        for caller in ("a", "b", "c"):
            served.enter_context(room.taken(3 * MIB, caller))
        with pytest.raises(OverloadedError, match="this process"), room.taken(3 * MIB, "d"):
            pass


def test_small_requests_are_not_counted() -> None:
    room = BytesInFlight(4096)
    with ExitStack() as served:
        for _ in range(1000):
            served.enter_context(room.taken(COUNTED_BYTES - 1, "one"))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(COUNTED_BYTES, 4 * MIB)), max_size=60))
def test_never_more_than_the_room_is_taken_and_a_refusal_takes_nothing(
    requests: list[tuple[str, int]],
) -> None:
    most = 8 * MIB
    room, taken = BytesInFlight(most), Counter[str]()
    with ExitStack() as served:
        for caller, size in requests:
            try:
                served.enter_context(room.taken(size, caller))
            except OverloadedError:
                assert taken[caller] + size > most // 4 or taken.total() + size > most
            else:
                taken[caller] += size
            assert taken.total() <= most
            assert all(used <= max(most // 4, 4 * MIB) for used in taken.values())
    with room.taken(most, "a"):
        pass
